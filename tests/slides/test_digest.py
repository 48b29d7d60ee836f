import hashlib
from pathlib import Path

import numpy as np
import pytest

from nuguide.slides import digest
from nuguide.slides.digest import digest_of


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(digest, "SAMPLES", 5)
    monkeypatch.setattr(digest, "SAMPLE_BYTES", 100)


def noise(path: Path, length: int, seed: int = 0) -> Path:
    path.write_bytes(np.random.default_rng(seed).bytes(length))
    return path


def test_a_file_has_the_digest_that_sha256sum_prints(tmp_path: Path) -> None:
    file = noise(tmp_path / "a", 5000)
    found = digest_of([file], tmp_path)
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.of == "the file's bytes"


def test_of_a_large_file_pieces_are_read(tmp_path: Path, small_limits: None) -> None:
    file = noise(tmp_path / "a", 5000)
    data = bytearray(file.read_bytes())
    found = digest_of([file], tmp_path)
    assert "5 evenly spaced" in found.of

    def changed(place: int) -> bool:
        spoilt = bytearray(data)
        spoilt[place] ^= 1
        file.write_bytes(bytes(spoilt))
        return digest_of([file], tmp_path).sha256 != found.sha256

    assert changed(0)
    assert changed(4999)
    assert changed(2500)
    assert not changed(600)  # between two pieces
    file.write_bytes(bytes(data) + b"x")
    assert digest_of([file], tmp_path).sha256 != found.sha256


def test_many_files_are_one_stream(tmp_path: Path, small_limits: None) -> None:
    files = [noise(tmp_path / name, length, length) for name, length in (("a", 30), ("b", 4000))]
    files.append(noise(tmp_path / "c", 60))
    before = digest_of(files, tmp_path)
    for file in (files[0], files[2]):
        whole = file.read_bytes()
        noise(file, len(whole), 99)
        assert digest_of(files, tmp_path).sha256 != before.sha256
        file.write_bytes(whole)
    assert digest_of(files, tmp_path) == before


def test_names_count_and_the_place_does_not(tmp_path: Path) -> None:
    digests = []
    for folder, names in (("one", "ab"), ("two", "ab"), ("three", "ac")):
        (tmp_path / folder).mkdir()
        files = [noise(tmp_path / folder / name, 50, 7) for name in names]
        digests.append(digest_of(files, tmp_path / folder).sha256)
    assert digests[0] == digests[1] != digests[2]

import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nuguide.errors import OutputError
from nuguide.nuclei.morphometry import measure
from nuguide.nuclei.staining import Staining
from nuguide.segmentation.ledger import FRAGMENTS_FOLDER, LEDGER_FILE, Ledger, remove_ledger
from nuguide.segmentation.region import Piece, no_nuclei
from nuguide.segmentation.runs import RUNS, runs_of

CONFIGURATION = {"image_sha256": "0" * 64, "mpp": 0.25, "regions": {"size_px": 1024}}


@pytest.fixture
def nuclei() -> pa.Table:
    labels = np.zeros((20, 20), np.int32)
    labels[2:8, 2:8], labels[10:18, 10:18] = 1, 2
    rgb, foreground = np.zeros((20, 20, 3), np.uint8), np.ones((20, 20), np.float32)
    table = measure(labels, rgb, foreground, origin_px=(0, 0), mpp=0.5, image_sha256="0" * 64)
    return table.append_column(RUNS, runs_of(labels, (0, 0)))


def test_what_was_added_is_there_when_the_ledger_is_opened_again(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    with Ledger(tmp_path, CONFIGURATION) as ledger:
        ledger.add(3, Piece(nuclei, {"read": 0.5, "network": 2.0}), wall=1.5)
        ledger.add(5, Piece(no_nuclei(), {"read": 0.25}), wall=0.5)
    with Ledger(tmp_path, CONFIGURATION) as again:
        assert again.done() == {3: 2, 5: 0}
        assert again.nuclei(3).equals(nuclei)
        assert again.nuclei(5).equals(no_nuclei())
        tally = again.tally()
    assert (tally.nuclei, tally.wall) == (2, 2.0)
    assert tally.stages == {"read": 0.75, "network": 2.0}


def test_a_region_of_before_a_column_was_added_is_taken(tmp_path: Path, nuclei: pa.Table) -> None:
    with Ledger(tmp_path, CONFIGURATION) as ledger:
        ledger.add(0, Piece(nuclei.drop_columns(["second_stain_od_mean"])), wall=0.0)
        read = ledger.nuclei(0)
        assert read.schema.equals(no_nuclei().schema)
        assert read["second_stain_od_mean"].null_count == 2
        assert read["id"].equals(nuclei["id"])


def test_a_region_whose_file_was_lost_or_cut_is_not_done(tmp_path: Path, nuclei: pa.Table) -> None:
    with Ledger(tmp_path, CONFIGURATION) as ledger:
        for region in range(3):
            ledger.add(region, Piece(nuclei), wall=0.0)
        first, second, _ = sorted((tmp_path / FRAGMENTS_FOLDER).iterdir())
        first.unlink()
        second.write_bytes(second.read_bytes()[:-1])
        assert set(ledger.done()) == {2}
        with pytest.raises(OutputError, match="same command again"):
            ledger.nuclei(1)


def test_a_byte_that_changed_on_the_disk_does_not_change_a_nucleus(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    with Ledger(tmp_path, CONFIGURATION) as ledger:
        ledger.add(0, Piece(nuclei), wall=0.0)
        (file,) = (tmp_path / FRAGMENTS_FOLDER).iterdir()
        whole = file.read_bytes()
        for place in range(4, len(whole), 97):
            changed = bytearray(whole)
            changed[place] ^= 0xFF
            file.write_bytes(changed)
            with suppress(OutputError):
                assert ledger.nuclei(0).equals(nuclei)  # of what says nothing about them


def test_another_configuration_is_refused_with_the_difference(tmp_path: Path) -> None:
    Ledger(tmp_path, CONFIGURATION).close()
    # Both mean haematoxylin and eosin: the choice came later.
    Ledger(tmp_path, CONFIGURATION | Staining().configuration()).close()
    other = {**CONFIGURATION, "regions": {"size_px": 512}}
    with pytest.raises(OutputError, match=r"regions.size_px: there 1024, here 512.*--overwrite"):
        Ledger(tmp_path, other)
    remove_ledger(tmp_path)
    assert not list(tmp_path.iterdir())
    Ledger(tmp_path, other).close()


def test_one_run_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    with Ledger(tmp_path, CONFIGURATION), pytest.raises(OutputError, match="another run"):
        Ledger(tmp_path, CONFIGURATION)


def test_a_ledger_is_begun_anew_only_by_whom_it_lets_in(tmp_path: Path, nuclei: pa.Table) -> None:
    other = {**CONFIGURATION, "mpp": 0.5}
    with Ledger(tmp_path, CONFIGURATION) as ledger:
        ledger.add(0, Piece(nuclei), wall=0.0)
        with pytest.raises(OutputError, match="being written by another run"):
            Ledger(tmp_path, other, anew=True)
        assert ledger.nuclei(0).equals(nuclei)
    with Ledger(tmp_path, other, anew=True) as anew:
        assert anew.done() == {}
        assert not list((tmp_path / FRAGMENTS_FOLDER).iterdir())
    Ledger(tmp_path, other).close()


@pytest.mark.parametrize("content", [b"no database at all, whatever its name may say" * 50])
def test_a_damaged_ledger_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(content)
    with pytest.raises(OutputError, match=r"is damaged.*--overwrite"):
        Ledger(tmp_path, CONFIGURATION)
    with Ledger(tmp_path, CONFIGURATION, anew=True) as ledger:
        assert ledger.done() == {}


@pytest.mark.parametrize("configuration", ["not json", "3", "[]"])
def test_a_ledger_of_another_make_is_damaged(tmp_path: Path, configuration: str) -> None:
    rows = sqlite3.connect(tmp_path / LEDGER_FILE)
    rows.execute("CREATE TABLE run (configuration TEXT, more TEXT)")
    rows.execute("INSERT INTO run VALUES (?, '')", (configuration,))
    rows.commit()
    rows.close()
    with pytest.raises(OutputError, match=r"is damaged.*--overwrite"):
        Ledger(tmp_path, CONFIGURATION)
    Ledger(tmp_path, CONFIGURATION, anew=True).close()


def test_a_fragment_that_cannot_be_written_is_not_done(
    tmp_path: Path, nuclei: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(tmp_path, CONFIGURATION) as ledger:
        monkeypatch.setattr("nuguide.segmentation.ledger.pq.write_table", full)
        with pytest.raises(OutputError, match="No space left"):
            ledger.add(0, Piece(nuclei), wall=0.0)
        assert ledger.done() == {}
        assert not list((tmp_path / FRAGMENTS_FOLDER).iterdir())

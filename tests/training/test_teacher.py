from pathlib import Path

import numpy as np
import pytest
import torch

from nuguide.errors import GuideError, OutputError, RecipeError
from nuguide.guides.fields import encode_extent
from nuguide.training.teacher import CachedGuide, cached_tokens

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def guide(make_teacher):
    return make_teacher()


def test_an_image_is_encoded_once(guide, tmp_path: Path):
    first = cached_tokens(guide, RGB, 0.5, tmp_path / "new" / "tokens")
    calls = guide.calls
    second = cached_tokens(guide, RGB, 0.5, tmp_path / "new" / "tokens")
    assert guide.calls == calls == 1
    assert torch.equal(first, second)
    assert first.dtype == torch.float16
    assert first.shape == (256, 10, 15), "one token for every 2 um of 20 x 30 um"
    assert len(files(tmp_path / "new" / "tokens")) == 1, "nothing is left beside it"


def test_a_cached_guide_equals_its_guide_and_encodes_each_field_once(guide, tmp_path: Path):
    wide = np.random.default_rng(1).integers(0, 256, (300, 500, 3), np.uint8)
    cached = CachedGuide(guide, tmp_path)
    first = encode_extent(cached, wide, 0.5)
    assert guide.calls == 4, "150 x 250 um, two by two fields"
    second = encode_extent(CachedGuide(guide, tmp_path), wide, 0.5)
    assert guide.calls == 4
    truth = encode_extent(guide, wide, 0.5)
    assert (first.token_um, first.name, first.sha256) == (truth.token_um, guide.name, guide.sha256)
    assert first.values.dtype == torch.float32
    assert torch.equal(first.values, truth.values.half().float())
    assert torch.equal(second.values, first.values)


def test_a_guide_without_a_field_has_nothing_to_keep(guide, tmp_path: Path):
    guide.field_um = None
    with pytest.raises(RecipeError, match="expected a guide with a field"):
        CachedGuide(guide, tmp_path)


@pytest.mark.parametrize("what", ["pixel", "shape", "mpp", "field", "weights", "name"])
def test_what_differs_has_a_file_of_its_own(make_teacher, tmp_path: Path, what: str):
    guide, rgb, mpp = make_teacher(), RGB.copy(), 0.5
    cached_tokens(guide, rgb, mpp, tmp_path)
    if what == "pixel":
        rgb[3, 4, 1] ^= 1
    elif what == "shape":
        rgb = rgb.reshape(60, 40, 3)
    elif what == "mpp":
        mpp = 0.4
    elif what == "field":
        guide.field_um = 256.0
    elif what == "name":
        guide.name = "medsam"
    else:
        guide.sha256 = "0" * 64
    cached_tokens(guide, rgb, mpp, tmp_path)
    assert guide.calls == 2
    assert len(files(tmp_path)) == 2


def test_a_damaged_file_is_named(guide, tmp_path: Path):
    cached_tokens(guide, RGB, 0.5, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(GuideError, match=r"is damaged .*; expected .*; delete it"):
        cached_tokens(guide, RGB, 0.5, tmp_path)


def test_an_interrupted_writing_leaves_nothing_that_looks_whole(guide, tmp_path: Path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nuguide.files.os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cached_tokens(guide, RGB, 0.5, tmp_path)
    assert files(tmp_path) == set()
    cached_tokens(guide, RGB, 0.5, tmp_path)
    assert guide.calls == 2


def test_a_folder_that_cannot_be_made_is_refused(guide, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        cached_tokens(guide, RGB, 0.5, tmp_path / "file" / "tokens")

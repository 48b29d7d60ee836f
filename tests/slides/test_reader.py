import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fixtures.slides import write_tiled_tiff
from nuguide.errors import InputError, ResolutionError
from nuguide.slides.reader import from_array, open_slide

TISSUE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "tissue.png"
    Image.fromarray(TISSUE).save(path)
    return path


def test_slide_tells_what_it_is(png: Path) -> None:
    slide = open_slide(png, 0.25)
    assert (slide.name, slide.path, slide.shape) == ("tissue", png, (60, 90))
    assert (slide.mpp, slide.mpp_source) == (0.25, "--mpp")
    assert slide.sha256 == hashlib.sha256(png.read_bytes()).hexdigest()
    assert (slide.read(0, 0, 60, 90, 0.25) == TISSUE).all()


def test_the_given_scale_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.png"
    Image.fromarray(TISSUE).save(path, dpi=(50800, 50800))
    assert open_slide(path).mpp_source == "PNG pHYs"
    assert open_slide(path, 0.263).mpp == 0.263


def test_missing_scale_shows_the_flag(png: Path) -> None:
    with pytest.raises(ResolutionError, match=r"--mpp 0\.25"):
        open_slide(png)
    with pytest.raises(ResolutionError, match=r"mpp=0\.25"):
        from_array(TISSUE, None)


@pytest.mark.parametrize("mpp", [0.0, -1.0, 21.0, float("nan"), "coarse"])
def test_impossible_scale_is_refused(png: Path, mpp: float) -> None:
    with pytest.raises(ResolutionError, match="expected a number"):
        open_slide(png, mpp)


def test_content_decides_not_the_suffix(png: Path) -> None:
    wrong = png.rename(png.with_suffix(".tif"))
    assert open_slide(wrong, 0.5).shape == (60, 90)


def test_outside_is_white() -> None:
    slide = from_array(TISSUE, 0.5)
    box = slide.read(-10, 80, 20, 30, 0.5)
    assert (box[:10] == 255).all()
    assert (box[:, 10:] == 255).all()
    assert (box[10:, :10] == TISSUE[:10, 80:]).all()
    assert (slide.read(500, 500, 8, 8, 0.5) == 255).all()


@pytest.mark.parametrize("mpp", [0.5, 0.263, 0.6, 0.25, 0.13])
def test_overlapping_reads_agree_to_the_bit(mpp: float) -> None:
    slide = from_array(TISSUE, 0.25)
    whole = slide.read_at(0, 0, *slide.shape_at(mpp), mpp)
    assert whole.shape[:2] == slide.shape_at(mpp)
    assert (slide.read_at(7, 11, 12, 9, mpp) == whole[7:19, 11:20]).all()
    scale = slide.mpp / mpp
    by_slide_px = slide.read(7 / scale, 11 / scale, 12 / scale, 9 / scale, mpp)
    assert (by_slide_px == whole[7:19, 11:20]).all()


def test_size_of_a_read_is_the_rounded_scaled_size() -> None:
    slide = from_array(TISSUE, 0.25)
    assert slide.read(0, 0, 33, 50, 0.5).shape == (16, 25, 3)
    assert slide.read(0, 0, 10, 10, 0.1).shape == (25, 25, 3)


@pytest.mark.parametrize("mpp", [0.5, 0.263, 0.11])
def test_resampling_does_not_drift(mpp: float) -> None:
    # A ramp tells each pixel's position; far from the origin it must still be exact.
    ramp = np.tile((np.arange(2001) / 2001 * 65535).astype(np.uint16), (16, 1))
    slide = from_array(ramp, 0.25)
    scale = 0.25 / mpp
    row = slide.read_at(0, 0, *slide.shape_at(mpp), mpp)[1, :, 0].astype(float)
    position = (np.arange(row.size) + 0.5) / scale - 0.5
    expected = position / 2001 * 255
    assert np.abs(row - expected)[5:-5].max() <= 1.0


def test_shrinking_averages_over_area() -> None:
    board = np.indices((40, 40)).sum(axis=0) % 2 * 255
    small = from_array(board.astype(np.uint8), 0.25).read(0, 0, 40, 40, 0.5)
    assert np.abs(small.astype(int) - 127.5).max() <= 1


def test_the_caller_may_write_into_its_array() -> None:
    own = TISSUE.copy()
    slide = from_array(own, 0.5)
    own[:] = 0
    assert (slide.read(0, 0, 60, 90, 0.5) == TISSUE).all()
    slide.read(0, 0, 60, 90, 0.5)[:] = 0
    assert (slide.read(0, 0, 60, 90, 0.5) == TISSUE).all()


def test_digest_of_an_array_follows_its_pixels() -> None:
    assert from_array(TISSUE, 0.5).sha256 == from_array(TISSUE.copy(), 0.25).sha256
    assert from_array(TISSUE, 0.5).sha256 != from_array(TISSUE[::-1], 0.5).sha256
    assert from_array(np.zeros((8, 16)), 1).sha256 != from_array(np.zeros((16, 8)), 1).sha256


def test_absurd_enlargement_is_refused() -> None:
    with pytest.raises(InputError, match="--mpp"):
        from_array(np.zeros((3000, 3000), np.uint8), 10.0).shape_at(0.1)


def test_bad_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("no image")
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((1, 1, 3), np.uint8))
    wanted = {
        "absent.png": "does not exist",
        "empty.png": "is empty",
        "notes.txt": "PNG, JPEG or TIFF",
        "one.png": "at least 8 px",
        ".": "is a folder",
    }
    for name, words in wanted.items():
        with pytest.raises(InputError, match=words) as caught:
            open_slide(tmp_path / name, 0.5)
        assert "\n" not in str(caught.value)


def test_real_tissue_opens(shared: Path) -> None:
    path = sorted((shared / "data/monuseg2018/images").iterdir())[0]
    slide = open_slide(path, 0.25)
    assert slide.shape == (1000, 1000)
    assert slide.read(0, 0, 1000, 1000, 0.5).shape == (500, 500, 3)


def test_a_thumbnail_of_a_slide_is_read_once_and_shared_with_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
    with open_slide(write_tiled_tiff(tmp_path / "slide.tif", pixels, mpp=2.0)) as slide:
        assert slide.streams
        first = slide.thumbnail(8.0)
        expected = first.copy()
        first[:] = 0
        slide.forget()
        assert not np.array_equal(slide.thumbnail(16.0)[:4, :4], expected[:4, :4])
        again = slide.thumbnail(8.0)
        monkeypatch.setattr(slide, "read_at", None)
        assert np.array_equal(slide.thumbnail(8.0), expected)
        assert np.array_equal(again, expected)

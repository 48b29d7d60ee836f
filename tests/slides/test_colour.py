import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.slides.colour import as_rgb


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    rgb = as_rgb(grey, "grey")
    assert rgb.shape == (8, 8, 3)
    assert (rgb == grey[..., None]).all()


def test_one_bit_becomes_black_and_white() -> None:
    assert as_rgb(np.array([[True, False]]), "bit")[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize(("white", "half"), [(65535, 32768), (4095, 2048)])
def test_sixteen_bits_scale_by_their_real_range(white: int, half: int) -> None:
    rgb = as_rgb(np.array([[0, half, white]], np.uint16), "deep")
    assert rgb[0, :, 0].tolist() == [0, 128, 255]


def test_floats_from_0_to_1() -> None:
    assert as_rgb(np.array([[0.0, 0.5, 1.0]]), "float")[0, :, 1].tolist() == [0, 128, 255]


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_other_floats_are_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"expected 0 to 1"):
        as_rgb(np.array([[0.0, value]]), "float")


def test_alpha_is_laid_over_white() -> None:
    red = np.array([[[200, 0, 0, 255], [200, 0, 0, 51], [200, 0, 0, 0]]], np.uint8)
    assert as_rgb(red, "red")[0].tolist() == [[200, 0, 0], [244, 204, 204], [255, 255, 255]]
    premultiplied = np.array([[[40, 0, 0, 51]]], np.uint8)
    assert as_rgb(premultiplied, "red", "premultiplied")[0].tolist() == [[244, 204, 204]]
    assert as_rgb(red, "red", "none")[0, 2].tolist() == [200, 0, 0]


@pytest.mark.parametrize(
    "samples",
    [np.zeros((8, 8), np.int16), np.zeros((8, 8, 5), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)],
)
def test_what_is_no_picture_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected"):
        as_rgb(samples, "odd")

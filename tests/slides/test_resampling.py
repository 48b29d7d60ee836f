from functools import partial

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nuguide.slides.levels import ArrayLevels
from nuguide.slides.resampling import MAX_SOURCE_PIXELS, Axis, resample

NOISE = np.random.default_rng(0).integers(0, 256, (150, 170, 3), np.uint8)


def resampled(
    rgb: NDArray[np.uint8],
    ratio: float,
    box: tuple[int, int, int, int],
    phase: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.uint8]:
    read = partial(ArrayLevels(rgb).read, 0)
    axes = [Axis(ratio, phase[i], rgb.shape[i]) for i in (0, 1)]
    return resample(read, axes[0], axes[1], *box)


def overlap(begin: float, end: float, length: int) -> NDArray[np.float64]:
    """Return how much of each source pixel lies between two borders: area by its definition."""
    pixels = np.arange(length)
    return np.clip(np.minimum(end, pixels + 1) - np.maximum(begin, pixels), 0, None)


@pytest.mark.parametrize("ratio", [1.0, 1.05, 2.0, 2.17, 3.0, 7.3])
@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.25, 0.6)])
def test_shrinking_is_the_mean_over_each_pixels_area(
    ratio: float, phase: tuple[float, float]
) -> None:
    height, width = (int((length - 1) / ratio) for length in NOISE.shape[:2])
    whole = resampled(NOISE, ratio, (0, 0, height, width), phase)
    for i, j in [(0, 0), (3, 5), (height - 1, width - 1)]:
        rows = overlap(phase[0] + i * ratio, phase[0] + (i + 1) * ratio, 150)
        columns = overlap(phase[1] + j * ratio, phase[1] + (j + 1) * ratio, 170)
        mean = np.einsum("y,x,yxc->c", rows, columns, NOISE) / (rows.sum() * columns.sum())
        assert np.abs(whole[i, j] - mean).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_whole_ratios_equal_opencv(factor: int) -> None:
    size = (170 // factor, 150 // factor)
    whole = NOISE[: size[1] * factor, : size[0] * factor]
    expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    assert (resampled(NOISE, factor, (0, 0, size[1], size[0])) == expected).all()


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.37])
def test_enlarging_is_cubic(ratio: float) -> None:
    expected = cv2.resize(NOISE, None, fx=1 / ratio, fy=1 / ratio, interpolation=cv2.INTER_CUBIC)
    found = resampled(NOISE, ratio, (0, 0, *expected.shape[:2])).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_a_source_too_large_for_one_go_is_cut_without_a_trace() -> None:
    ratio = 40.5
    side = int(1.5 * MAX_SOURCE_PIXELS**0.5)
    large = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    count = int(side / ratio)
    asked = []

    def read(y: int, x: int, height: int, width: int) -> NDArray[np.uint8]:
        asked.append(height * width)
        return large[y : y + height, x : x + width]

    axis = Axis(ratio, 0.0, side)
    whole = resample(read, axis, axis, 0, 0, count, count)
    assert max(asked) <= 1.1 * MAX_SOURCE_PIXELS
    assert len(asked) > 1
    for i in (0, count // 2, count - 1):
        rows = overlap(i * ratio, (i + 1) * ratio, side)
        mean = np.einsum("y,x,yxc->c", rows, rows, large) / rows.sum() ** 2
        assert np.abs(whole[i, i] - mean).max() <= 0.5 + 1e-6


def test_a_pixel_beyond_a_cut_level_sees_the_last_of_it() -> None:
    whole = resampled(NOISE[:149], 2.0, (0, 0, 76, 85))
    last = resampled(NOISE[148:149], 2.0, (0, 0, 1, 85))[0]
    assert (whole[74] == last).all()  # half a source pixel lies under it
    assert (whole[75] == last).all()  # none does

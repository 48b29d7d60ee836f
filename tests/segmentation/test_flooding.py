import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from nuguide.segmentation.flooding import flooded


def hills(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A landscape, numbered peaks and a mask."""
    rng = np.random.default_rng(seed)
    landscape = ndimage.gaussian_filter(rng.normal(size=(90, 70)), 2.5).astype(np.float32)
    mask = ndimage.gaussian_filter(rng.normal(size=(90, 70)), 4) > -0.01
    inside = np.where(mask, landscape, -np.inf)
    peaks, _ = ndimage.label(mask & (inside >= ndimage.maximum_filter(inside, 3)), np.ones((3, 3)))
    return landscape, peaks.astype(np.int32), mask


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_usual_watershed(seed: int) -> None:
    landscape, peaks, mask = hills(seed)
    found = flooded(landscape, peaks, mask)
    assert peaks.max() > 20
    assert (found == watershed(-landscape, peaks, mask=mask)).all()
    assert found.dtype == np.int32


def test_few_peaks_flood_what_is_higher_than_the_way_there() -> None:
    landscape, peaks, mask = hills(7)
    peaks = np.where(peaks % 5 == 1, peaks, 0)
    found = flooded(landscape, peaks, mask)
    usual = watershed(-landscape, peaks, mask=mask)
    assert (found == usual).mean() > 0.995
    assert ((found > 0) == (usual > 0)).all()


def test_water_comes_to_no_part_without_a_peak_and_not_over_corners() -> None:
    mask = np.array([[1, 1, 0], [0, 0, 1]], np.bool_)
    peaks = np.array([[3, 0, 0], [0, 0, 0]], np.int32)
    landscape = np.zeros((2, 3), np.float32)
    assert flooded(landscape, peaks, mask).tolist() == [[3, 3, 0], [0, 0, 0]]


def test_negative_heights_lie_below_zero() -> None:
    landscape = np.array([[0.5, -1.0, -3.0, -2.0, 0.25]], np.float32)
    peaks = np.array([[1, 0, 0, 0, 2]], np.int32)
    assert flooded(landscape, peaks, np.ones((1, 5), np.bool_)).tolist() == [[1, 1, 1, 2, 2]]

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from nuguide.models.card import Decoding
from nuguide.segmentation.decoding import Maps, Operations, decode, offset_slope

MPP = 0.5


def discs(
    shape: tuple[int, int], centres: list[tuple[int, int]], radius: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Foreground and normalised distance of discs, the larger distance where two overlap."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.zeros(shape)
    for cy, cx in centres:
        distance = np.maximum(distance, 1 - np.hypot(y - cy, x - cx) / radius)
    return (distance > 0).astype(np.float32), distance.clip(0).astype(np.float32)


def test_touching_nuclei_are_divided_at_the_valley() -> None:
    foreground, distance = discs((60, 90), [(30, 30), (30, 52)], 12)
    labels = decode(Maps(foreground, distance, MPP), Decoding())
    assert labels.max() == 2
    assert labels[30, 30] != labels[30, 52]
    assert ((labels > 0) == (foreground > 0.5)).all()
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_without_a_distance_head_the_euclidean_distance_divides() -> None:
    foreground, _ = discs((60, 90), [(30, 30), (30, 52)], 12)
    assert decode(Maps(foreground, None, MPP), Decoding()).max() == 2


@pytest.mark.parametrize("apart", [4, 8, 12, 16])
def test_a_peak_counts_if_it_is_prominent_enough(apart: int) -> None:
    foreground, distance = discs((60, 90), [(30, 30), (30, 30 + apart)], 12)
    above_saddle = apart / 2 / 12  # discs of height 1 and radius 12 meet half-way
    for prominence, expected in ((above_saddle - 0.02, 2), (above_saddle + 0.02, 1)):
        decoding = Decoding(prominence=prominence, smoothing_um=0.0)
        assert decode(Maps(foreground, distance, MPP), decoding).max() == expected


def test_many_small_ripples_on_a_nucleus_are_one_nucleus() -> None:
    foreground, distance = discs((60, 60), [(30, 30)], 20)
    ripples = 0.08 * np.random.default_rng(0).random(distance.shape)
    maps = Maps(foreground, (distance + ripples).astype(np.float32), MPP)
    assert decode(maps, Decoding(smoothing_um=0.0, prominence=0.12)).max() == 1
    every = Decoding(smoothing_um=0.0, prominence=0.0, min_area_um2=0.0)
    assert decode(maps, every).max() > 3


def test_a_chain_of_nuclei_is_not_merged_link_by_link() -> None:
    # Merging must compare with the merged basin's own peak, not with each ripple's.
    foreground, distance = discs((40, 120), [(20, 20), (20, 40), (20, 60), (20, 80)], 12)
    assert decode(Maps(foreground, distance, MPP), Decoding(prominence=0.2)).max() == 4


def test_merging_equals_flooding_from_h_maxima() -> None:
    from skimage.measure import label
    from skimage.morphology import reconstruction

    noise = np.random.default_rng(0).random((80, 80))
    distance = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32)
    distance = (distance - distance.min()) / np.ptp(distance)
    everywhere = np.ones_like(distance)
    ours = decode(
        Maps(everywhere, distance, 1.0),
        Decoding(prominence=0.1, smoothing_um=0.0, min_area_um2=0.0),
    )
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    flooded = reconstruction(distance - 0.1, distance, method="dilation", footprint=cross)
    tops = label(distance - flooded >= 0.1 - 1e-6, connectivity=1)
    assert ours.max() == tops.max() > 5


def test_foreground_without_a_peak_is_still_a_nucleus() -> None:
    foreground, distance = discs((60, 60), [(30, 30)], 12)
    assert decode(Maps(foreground, 0 * distance, MPP), Decoding()).max() == 1


def test_small_objects_are_dropped_by_their_area_in_um2() -> None:
    foreground, distance = discs((60, 90), [(30, 20), (30, 70)], 12)
    foreground[5:8, 5:8] = 1  # 9 px = 2.25 um2 at 0.5 um/px
    maps = Maps(foreground, distance, MPP)
    assert decode(maps, Decoding(min_area_um2=2.0)).max() == 3
    assert decode(maps, Decoding(min_area_um2=3.0)).max() == 2


def test_nothing_above_the_threshold_gives_no_nucleus() -> None:
    quiet = np.full((20, 30), 0.4, np.float32)
    labels = decode(Maps(quiet, quiet, MPP), Decoding())
    assert labels.shape == (20, 30)
    assert not labels.any()


def half_planes(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Offsets of two long nuclei side by side, touching at the middle column."""
    offsets = np.zeros((2, *shape), np.float32)
    middle = shape[1] // 2
    offsets[1, :, :middle] = np.linspace(-1, 1, middle)
    offsets[1, :, middle:] = np.linspace(-1, 1, shape[1] - middle)
    return offsets


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
def test_where_two_nuclei_meet_the_offsets_fall_by_about_one(sigma: float) -> None:
    operations = Operations(
        blurred=lambda values, sigma: cv2.GaussianBlur(values, (0, 0), sigma),
        depth=lambda mask: mask,
        highest=lambda values: values,
        flooded=lambda landscape, peaks, mask: peaks,
    )
    slope = offset_slope(half_planes((30, 80)), sigma, operations)
    assert (slope.dtype, slope.shape) == (np.float32, (30, 80))
    assert -1.01 < slope[15].min() < -0.75
    assert abs(int(slope[15].argmin()) - 39.5) <= 0.5
    assert slope[15, 10:30].min() > -0.01, "inside a nucleus it is nearly level"


def test_offsets_divide_as_a_landscape_and_the_distance_goes_first() -> None:
    foreground = np.ones((40, 80), np.float32)
    maps = Maps(foreground, None, MPP, half_planes((40, 80)))
    labels = decode(maps, Decoding(prominence=0.2))
    assert labels.max() == 2
    assert set(np.unique(labels[:, :39])) == {labels[0, 0]}
    level = Maps(foreground, np.zeros((40, 80), np.float32), MPP, maps.offsets)
    assert decode(level, Decoding(prominence=0.2)).max() == 1


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_a_region_of_one_row_or_column_is_decoded(shape: tuple[int, int]) -> None:
    maps = Maps(np.ones(shape, np.float32), None, MPP, np.zeros((2, *shape), np.float32))
    assert decode(maps, Decoding(min_area_um2=0)).max() == 1


def test_at_the_edges_a_slope_goes_on_as_if_the_last_pixel_stood_twice() -> None:
    operations = Operations(
        blurred=lambda values, sigma: values,
        depth=lambda mask: mask,
        highest=lambda values: values,
        flooded=lambda landscape, peaks, mask: peaks,
    )
    offsets = np.random.default_rng(0).uniform(-1, 1, (2, 7, 5)).astype(np.float32)
    steps = (-0.5, 0.0, 0.5)
    down, along = (ndimage.correlate1d(offsets[i], steps, axis=i, mode="nearest") for i in (0, 1))
    slope = offset_slope(offsets, 0.0, operations)
    np.testing.assert_allclose(slope, np.minimum(down, along), rtol=1e-6)
    assert not offset_slope(np.ones((2, 1, 1), np.float32), 0.0, operations).any()

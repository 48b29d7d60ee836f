import cv2
import numpy as np
import pytest

from nuguide.segmentation.decoding import Maps
from nuguide.segmentation.seams import claims, native_box, numbered, to_native, window_of
from nuguide.slides.regions import Box, Region

REGION = Region(1, core=Box(0, 64, 64, 64), read=Box(0, 32, 64, 128), row_y=0)


def square(shape: tuple[int, int], *corners: tuple[int, int], side: int = 8) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_a_region_claims_what_has_its_centre_in_the_core() -> None:
    # In px of what was read the core spans columns 32 to 96.
    labels = square((64, 128), (10, 4), (10, 50), (10, 110))
    assert claims(labels, REGION).tolist() == [False, False, True, False]


def test_claims_reach_a_little_beyond_the_core() -> None:
    # Columns 26 to 34 and 24 to 32 of what was read: centres 2.5 and 4.5 px outside.
    labels = square((64, 128), (10, 26), (30, 24))
    assert claims(labels, REGION).tolist() == [False, True, False]


def test_numbers_go_to_nuclei_that_are_kept_and_have_pixels_enough() -> None:
    labels = np.array([[1, 1, 1, 0, 3, 4, 4, 5, 5]], np.int32)  # nobody has the number 2
    keep = np.array([True, True, True, True, False, True])
    made, before = numbered(labels, keep)
    assert made.tolist() == [[1, 1, 1, 0, 2, 0, 0, 3, 3]]
    assert before.tolist() == [0, 1, 3, 5]
    made, before = numbered(labels, keep, 2)
    assert made.tolist() == [[1, 1, 1, 0, 0, 0, 0, 2, 2]]
    assert before.tolist() == [0, 1, 5]


def test_nothing_is_claimed_of_nothing() -> None:
    assert claims(np.zeros((64, 128), np.int32), REGION).tolist() == [False]


@pytest.mark.parametrize("scale", [0.5, 0.526, 1.0, 1.7])
def test_native_box_covers_the_tissue(scale: float) -> None:
    shape = (300, 200)
    box = native_box(Box(32, 32, 64, 64), scale, shape)
    assert box.y <= 32 / scale < box.y + 1
    assert min(shape[0], 96 / scale) <= box.y + box.height <= shape[0]
    assert native_box(Box(0, 0, 10**4, 10**4), scale, shape) == Box(0, 0, *shape)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_nuclei_keep_place_and_area_at_the_images_own_resolution(scale: float) -> None:
    read = Box(64, 64, 64, 64)
    labels = square((64, 64), (20, 24), side=16)
    maps = Maps((labels > 0).astype(np.float32), None, 0.5)
    box = native_box(read, scale, (10**3, 10**3))
    native, foreground = to_native(labels, maps.foreground, 0.5, read, box, scale)
    assert native.shape == foreground.shape == (box.height, box.width)
    assert (native > 0).sum() * scale**2 == pytest.approx(256, rel=0.02)
    y, x = (axis.mean() + 0.5 for axis in np.nonzero(native))
    assert (y + box.y) * scale == pytest.approx(64 + 28, abs=0.3)
    assert (x + box.x) * scale == pytest.approx(64 + 32, abs=0.3)


def test_the_window_of_what_is_claimed_leaves_room_for_its_outlines() -> None:
    claimed = np.zeros((60, 50), np.bool_)
    claimed[20:30, 1:49] = True
    window = window_of(claimed)
    assert window == (slice(16, 32), slice(0, 50)), "from a line of the grid to the edge at most"
    assert Box(96, 192, 60, 50).part(window) == Box(112, 192, 16, 50)


@pytest.mark.parametrize("scale", [0.5, 0.7, 2.0])
def test_what_lies_beyond_the_window_changes_nothing(scale: float) -> None:
    random = np.random.default_rng(0)
    read, labels = Box(32, 64, 96, 96), square((96, 96), (30, 40), side=16)
    foreground = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.5)
    foreground += random.uniform(0, 0.1, labels.shape).astype(np.float32)
    window = window_of(labels > 0)
    part = read.part(window)
    box, whole = (native_box(each, scale, (10**3, 10**3)) for each in (part, read))
    native, _ = to_native(labels[window], foreground[window], 0.5, part, box, scale)
    expected, _ = to_native(labels, foreground, 0.5, read, whole, scale)
    y, x = box.y - whole.y, box.x - whole.x
    assert (expected > 0).sum() == (native > 0).sum() > 0
    assert np.array_equal(native, expected[y : y + box.height, x : x + box.width])

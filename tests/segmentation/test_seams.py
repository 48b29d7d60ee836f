import numpy as np
import pytest

from nuguide.segmentation.decoding import Maps
from nuguide.segmentation.seams import claimed, native_box, paint, to_native
from nuguide.slides.regions import Box, Region

REGION = Region(1, core=Box(0, 64, 64, 64), read=Box(0, 32, 64, 128))


def square(shape: tuple[int, int], *corners: tuple[int, int], side: int = 8) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_a_region_claims_what_has_its_centre_in_the_core() -> None:
    # In px of what was read the core spans columns 32 to 96.
    labels = square((64, 128), (10, 4), (10, 50), (10, 110))
    kept = claimed(labels, REGION)
    assert kept.max() == 1
    assert (kept > 0).sum() == 64
    assert kept[12, 52] == 1


def test_a_nucleus_on_the_border_is_claimed_by_both_and_painted_once() -> None:
    canvas = np.zeros((64, 192), np.int32)
    left = Region(0, core=Box(0, 0, 64, 64), read=Box(0, 0, 64, 96))
    first = claimed(square((64, 96), (20, 60)), left)  # columns 60 to 68, centre 63.5
    second = claimed(square((64, 128), (20, 29)), REGION)  # the same, seen one px further right
    assert first.max() == second.max() == 1
    assert paint(canvas, first, Box(0, 0, 64, 96), 0).max() == 1
    assert paint(canvas, second, Box(0, 32, 64, 128), 1).max() == 0
    assert np.unique(canvas).tolist() == [0, 1]


def test_painting_numbers_on_and_leaves_neighbours_alone() -> None:
    canvas = square((32, 32), (4, 4))
    added = paint(canvas, square((32, 32), (4, 10)), Box(0, 0, 32, 32), 1)
    assert (canvas == 1).sum() == 64  # not a pixel of it is taken
    assert (canvas == 2).sum() == (added == 1).sum() == 48


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
    native, foreground = to_native(labels, maps, 0.5, read, box, scale)
    assert native.shape == foreground.shape == (box.height, box.width)
    assert (native > 0).sum() * scale**2 == pytest.approx(256, rel=0.02)
    y, x = (axis.mean() + 0.5 for axis in np.nonzero(native))
    assert (y + box.y) * scale == pytest.approx(64 + 28, abs=0.3)
    assert (x + box.x) * scale == pytest.approx(64 + 32, abs=0.3)

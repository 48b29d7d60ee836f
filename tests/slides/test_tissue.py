from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shapely import box

from fixtures.slides import shrunk
from fixtures.tissue import EOSIN, draw_tissue
from nuguide.errors import InputError
from nuguide.slides.reader import Slide, from_array, open_slide
from nuguide.slides.regions import Box
from nuguide.slides.roi import Roi
from nuguide.slides.tissue import THRESHOLD_RANGE, Tissue, all_tissue, find_tissue

MPP = 8.0
SIDE = 400
PIECE = (slice(100, 250), slice(80, 300))
"""Where the tissue lies on the glass."""

Paint = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def stained() -> NDArray[np.uint8]:
    """Return H&E at 8 um/px, as large as the slide."""
    patch = shrunk(draw_tissue(512, 512, mpp=0.5)[0], 16)
    return np.tile(patch, (13, 13, 1))[:SIDE, :SIDE]


def brown(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring H&E to DAB brown and blue: other colours, the same densities."""
    density = -np.log(np.maximum(rgb, 1) / 245.0)
    dab = np.array([0.27, 0.57, 0.78]) / np.linalg.norm(EOSIN)
    recoloured = density[..., 1:2] * dab + density[..., :1] * np.array([1.0, 0.8, 0.4])
    return (245.0 * np.exp(-recoloured)).clip(0, 255).astype(np.uint8)


def faint(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (245.0 * (rgb / 245.0) ** 0.4).clip(0, 255).astype(np.uint8)


def on_glass(
    stained: NDArray[np.uint8], paint: Paint, glass: tuple[int, int, int]
) -> NDArray[np.uint8]:
    picture = np.full((SIDE, SIDE, 3), glass, np.uint8)
    picture[PIECE] = paint(stained)[PIECE] * (np.array(glass) / 245.0)
    noise = np.random.default_rng(0).normal(0, 2.0, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def overlap(mask: NDArray[np.bool_]) -> float:
    truth = np.zeros((SIDE, SIDE), bool)
    truth[PIECE] = True
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("paint", [lambda rgb: rgb, brown, faint], ids=["H&E", "DAB", "faint"])
@pytest.mark.parametrize("glass", [(243, 243, 243), (222, 224, 226), (245, 242, 230)])
def test_tissue_is_found_on_any_glass(
    stained: NDArray[np.uint8], paint: Paint, glass: tuple[int, int, int]
) -> None:
    tissue = find_tissue(from_array(on_glass(stained, paint, glass), MPP))
    assert overlap(tissue.mask) > 0.9
    assert tissue.mask[PIECE].all()
    assert THRESHOLD_RANGE[0] <= tissue.threshold <= THRESHOLD_RANGE[1]


@pytest.mark.parametrize("paint", [lambda rgb: rgb, brown], ids=["H&E", "DAB"])
def test_a_field_of_tissue_is_tissue_all_over(stained: NDArray[np.uint8], paint: Paint) -> None:
    assert find_tissue(from_array(paint(stained), MPP)).mask.all()


@pytest.mark.parametrize("level", [255, 243, 225])
def test_blank_glass_is_empty(level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 2.0, (SIDE, SIDE, 3))
    tissue = find_tissue(from_array(noise.clip(0, 255).astype(np.uint8), MPP))
    assert not tissue.mask.any()
    assert tissue.area_mm2 == 0.0


def test_black_borders_and_ink_are_no_tissue(stained: NDArray[np.uint8]) -> None:
    picture = on_glass(stained, lambda rgb: rgb, (243, 243, 243))
    picture[:, :40] = 0
    for y, colour in ((300, (30, 140, 70)), (330, (30, 60, 190)), (360, (35, 35, 38))):
        cv2.line(picture, (60, y), (380, y), colour, 5)
    tissue = find_tissue(from_array(picture, MPP))
    assert not tissue.mask[:, :35].any()
    assert tissue.mask[290:].mean() < 0.02
    assert tissue.mask[PIECE].all()


def test_a_stain_in_the_colour_of_ink_is_kept(stained: NDArray[np.uint8]) -> None:
    green = stained[..., [1, 0, 2]]
    assert find_tissue(from_array(green, MPP)).mask.mean() > 0.95


@pytest.mark.parametrize(("share", "kept"), [(0.2, False), (0.3, True)])
def test_the_colour_of_a_quarter_of_what_is_not_glass_is_no_pen(share: float, kept: bool) -> None:
    picture = np.full((SIDE, SIDE, 3), 243, np.uint8)
    divide = 100 + round(200 * (1 - share))
    picture[100:200, 100:divide] = (200, 120, 180)
    picture[100:200, divide:300] = (30, 140, 70)
    mask = find_tissue(from_array(picture, MPP)).mask
    assert mask[110:190, 110 : divide - 10].all()
    assert mask[150, 290] == kept


def test_the_threshold_can_be_set(stained: NDArray[np.uint8]) -> None:
    slide = from_array(on_glass(stained, faint, (243, 243, 243)), MPP)
    assert find_tissue(slide, 0.5).mask.mean() < 0.01
    assert find_tissue(slide, 0.5).threshold == 0.5
    for bad in (0.0, -1.0, float("nan"), 5.0):
        with pytest.raises(InputError, match="optical density"):
            find_tissue(slide, bad)


def test_dust_goes_and_holes_are_filled() -> None:
    picture = np.full((SIDE, SIDE, 3), 243, np.uint8)
    cv2.circle(picture, (200, 200), 80, (200, 120, 180), -1)
    cv2.circle(picture, (200, 200), 6, (243, 243, 243), -1)
    picture[50:52, 50:52] = (200, 120, 180)
    mask = find_tissue(from_array(picture, MPP)).mask
    assert mask[200, 200]
    assert not mask[40:60, 40:60].any()


def test_small_pictures_have_tissue_too(tissue: NDArray[np.uint8]) -> None:
    assert find_tissue(from_array(tissue[:40, :60], 0.25)).mask.any()


@pytest.fixture
def drawn() -> Tissue:
    return Tissue(np.random.default_rng(0).random((30, 40)) > 0.5, 8.0, 0.05)


def test_a_share_is_the_mean_over_the_box(drawn: Tissue) -> None:
    assert drawn.share(Box(3, 5, 7, 11), 8.0) == pytest.approx(drawn.mask[3:10, 5:16].mean())
    fine = np.kron(drawn.mask, np.ones((16, 16)))  # the mask at 0.5 um/px
    boxes = [Box(17, 35, 100, 33), Box(0, 0, 480, 640), Box(470, 600, 10, 40), Box(1, 1, 1, 1)]
    expected = [fine[b.y : b.y + b.height, b.x : b.x + b.width].mean() for b in boxes]
    assert drawn.shares(boxes, 0.5) == pytest.approx(expected)


def test_beyond_the_slide_there_is_no_tissue() -> None:
    full = Tissue(np.ones((10, 10), bool), 8.0, 0.0)
    assert full.share(Box(-10, 0, 20, 10), 8.0) == 0.5
    assert full.share(Box(50, 50, 5, 5), 8.0) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_the_bounds_of_a_box_hold_its_tissue_and_no_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tissue = Tissue(rng.random((30, 40)) > 0.97, 8.0, 0.05)
    y, x, height, width = (int(n) for n in rng.integers(1, 200, 4))
    box = Box(y, x, height, width)
    fine = np.kron(tissue.mask, np.ones((16, 16), bool))  # at 0.5 um/px
    rows, columns = np.nonzero(fine[y : y + height, x : x + width])
    found = tissue.bounds(box, 0.5)
    if not rows.size:
        assert found is None
        return
    first, last = (rows.min(), columns.min()), (rows.max(), columns.max())
    expected = (y + first[0], x + first[1], last[0] - first[0] + 1, last[1] - first[1] + 1)
    assert found == Box(*map(int, expected))


def test_bounds_at_a_scale_of_its_own_hold_the_tissue() -> None:
    tissue = Tissue(np.eye(40, dtype=bool), 8.0, 0.05)
    box = Box(100, 90, 130, 150)
    found = tissue.bounds(box, 0.527)
    assert found is not None
    y, x = (axis.ravel() + 0.5 for axis in np.mgrid[100:230, 90:240])
    covered = tissue.covers(y, x, 0.527)
    inside = (y >= found.y) & (y < found.y + found.height)
    inside &= (x >= found.x) & (x < found.x + found.width)
    assert covered.any()
    assert not (covered & ~inside).any()


def test_points_are_looked_up(drawn: Tissue) -> None:
    y, x = np.array([0.0, 100.2, 479.9, -1.0, 488.0]), np.array([0.0, 33.0, 639.0, 5.0, 5.0])
    expected = [drawn.mask[0, 0], drawn.mask[6, 2], drawn.mask[29, 39], False, False]
    assert drawn.covers(y, x, 0.5).tolist() == expected


def test_area_and_regions_of_interest(drawn: Tissue) -> None:
    assert drawn.area_mm2 == pytest.approx(drawn.mask.sum() * 64e-6)
    left, wider = (np.arange(40) < end for end in (20, 21))
    shape = drawn.mask.shape
    roi = Roi(box(0, 0, 80, 120), 2.0, np.broadcast_to(wider, shape), np.broadcast_to(left, shape))
    inside = drawn.within(roi)
    assert (inside.mask == drawn.mask & left).all()
    assert (inside.reach == drawn.mask & wider).all()
    assert (inside.mpp, inside.threshold) == (drawn.mpp, drawn.threshold)
    assert inside.area_mm2 == pytest.approx(inside.mask.sum() * 64e-6)
    whole = Tissue(np.ones(shape, bool), 8.0, 0.0).within(roi)
    assert whole.area_mm2 == pytest.approx(roi.area_mm2)
    y, x = np.array([3.0, 3.0]), np.array([19.9, 20.1])
    assert whole.covers(y, x, 8.0).tolist() == [True, False]


def test_what_is_left_of_a_slide_beyond_the_last_pixel_belongs_to_it() -> None:
    """Of 12.4 x 10.3 px of the mask it has 12 x 10: nothing at the edge is lost."""
    tissue = Tissue(np.ones((12, 10), bool), 8.0, 0.0)
    y, x = np.array([99.0, 3.0, 99.0, 101.0]), np.array([3.0, 82.0, 82.0, 3.0])
    assert tissue.covers(y, x, 1.0).tolist() == [True, True, True, False]
    assert tissue.bounds(Box(90, 70, 9, 12), 1.0) == Box(90, 70, 9, 12)


def test_a_slide_is_seen_the_same_as_its_picture(
    slide_path: Path, tissue: NDArray[np.uint8]
) -> None:
    with open_slide(slide_path) as slide:
        found = find_tissue(slide)
        assert found.mask.shape == slide.shape_at(found.mpp)
        assert (found.mask == find_tissue(from_array(tissue, 0.25)).mask).mean() > 0.99


def test_all_of_a_slide(tissue: NDArray[np.uint8]) -> None:
    slide: Slide = from_array(tissue, 0.25)
    assert all_tissue(slide).mask.all()
    assert all_tissue(slide).mask.shape == find_tissue(slide).mask.shape

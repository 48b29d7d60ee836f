from pathlib import Path

import numpy as np
import pytest
import shapely

from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue
from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.selfcheck import Agreement, compare, richest_square, selfcheck
from nuguide.slides.reader import from_array, open_slide

NO_BORDERS = (np.empty(0), np.empty(0))


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*each) for each in corners], object)


def test_equal_nuclei_match() -> None:
    nuclei = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    agreement = compare(nuclei, nuclei[::-1], NO_BORDERS, NO_BORDERS)
    assert agreement == Agreement((2, 2), matching=2, doubled=0, cut=0)
    assert agreement.holds


def test_a_nucleus_that_only_one_of_them_has_differs() -> None:
    nuclei = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    agreement = compare(nuclei, nuclei[:1], NO_BORDERS, NO_BORDERS)
    assert (agreement.matching, agreement.differing) == (1, 1)
    assert not agreement.holds


def test_a_nucleus_found_twice_is_doubled() -> None:
    twice = boxes((0, 0, 10, 10), (1, 0, 11, 10))
    assert compare(twice, twice[:1], NO_BORDERS, NO_BORDERS).doubled == 1


def test_half_a_nucleus_at_a_border_is_cut() -> None:
    whole, half = boxes((0, 0, 10, 10)), boxes((0, 0, 5, 10))
    at_five = (np.empty(0), np.array([5.0]))
    assert compare(half, whole, at_five, NO_BORDERS).cut == 1
    assert compare(whole, half, NO_BORDERS, at_five).cut == 1
    assert compare(half, whole, NO_BORDERS, NO_BORDERS).cut == 0
    assert not compare(half, whole, at_five, NO_BORDERS).holds


def test_nothing_agrees_with_nothing() -> None:
    nothing = np.empty(0, object)
    assert compare(nothing, nothing, NO_BORDERS, NO_BORDERS).holds


def test_the_square_with_most_tissue_is_taken() -> None:
    rgb = np.full((400, 900, 3), 243, np.uint8)
    rgb[:, 500:800] = (190, 120, 170)
    square = richest_square(from_array(rgb, 2.0), side_um=400.0)
    assert (square.height, square.width) == (200, 200)
    assert 480 <= square.x <= 620


def test_a_slide_agrees_with_itself(model: Model, tmp_path: Path) -> None:
    rgb, _ = draw_tissue(600, 700, mpp=0.5, per_mm2=3000, seed=7)
    slide = write_tiled_tiff(tmp_path / "slide.tif", rgb, mpp=0.5)
    cuts = (Cut(224, 64), Cut(160, 64, 96))
    agreement = selfcheck(slide, model, LocalEngine(model), side_um=250.0, cuts=cuts)
    assert agreement.holds
    assert agreement.matching > 80
    with open_slide(slide) as opened:
        assert opened.streams


def test_a_slide_without_nuclei_proves_nothing(model: Model, tmp_path: Path) -> None:
    blank = np.full((300, 300, 3), 240, np.uint8)
    slide = write_tiled_tiff(tmp_path / "blank.tif", blank, mpp=0.5)
    with pytest.raises(InputError, match=r"no nucleus was found in the 100 um of blank\.tif"):
        selfcheck(slide, model, LocalEngine(model), side_um=100.0)


@pytest.mark.parametrize("differing", [5, 6])
def test_at_most_a_half_per_cent_may_differ(differing: int) -> None:
    agreement = Agreement((1000, 990), 1000 - differing, doubled=0, cut=0)
    assert agreement.holds == (differing == 5)

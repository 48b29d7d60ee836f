"""Fields to annotate: which are drawn, and what lies in them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from scipy import stats

from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.area import Area, Where, find_area
from nuguide.segmentation.fields import (
    Wanted,
    draw_fields,
    draw_more,
    nuclei_in,
    outline_of,
)
from nuguide.segmentation.run import segment_array
from nuguide.slides.reader import Slide, from_array
from nuguide.slides.regions import Box
from nuguide.slides.tissue import Tissue


@pytest.fixture
def slide(tissue) -> Slide:
    return from_array(tissue, 0.5)


def test_fields_lie_inside_and_apart_and_are_the_same_again(slide: Slide) -> None:
    drawn = draw_fields(slide, Area(), Wanted(5, 50.0))
    assert len(drawn.fields) == 5
    assert {(box.height, box.width) for box in drawn.fields} == {(100, 100)}
    assert drawn.squares.size in range(3 * 5, 4 * 6 + 1)
    for box in drawn.fields:
        assert 0 <= box.y <= 400 - 100
        assert 0 <= box.x <= 600 - 100
    squares = [outline_of(box) for box in drawn.fields]
    assert shapely.area(shapely.union_all(squares)) == 5 * 100 * 100
    assert list(drawn.fields) == sorted(drawn.fields, key=lambda box: (box.y, box.x))
    assert draw_fields(slide, Area(), Wanted(5, 50.0)).fields == drawn.fields
    assert draw_fields(slide, Area(), Wanted(5, 50.0, seed=1)).fields != drawn.fields


def test_another_image_has_other_fields(slide: Slide, tissue) -> None:
    other = from_array(np.flipud(tissue).copy(), 0.5)
    wanted = Wanted(3, 50.0)
    drawn = draw_fields(slide, Area(), wanted).fields
    assert draw_fields(other, Area(), wanted).fields != drawn


def test_each_place_is_as_likely_as_any_other(slide: Slide) -> None:
    hits = np.zeros((400, 600))
    for seed in range(400):
        for box in draw_fields(slide, Area(), Wanted(2, 50.0, seed)).fields:
            hits[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    inner = hits[100:300, 100:500]
    blocks = inner.reshape(4, 50, 8, 50).mean((1, 3))
    assert blocks.min() > 0.6 * blocks.mean()
    assert blocks.max() < 1.4 * blocks.mean()


def test_fields_are_drawn_of_tissue_alone(slide: Slide) -> None:
    mask = np.zeros((25, 38), bool)
    mask[:, 19:] = True  # the right half, at 8 um/px
    tissue = Tissue(mask, 8.0, 0.05)
    area = Area(tissue, searched=True, tissue=tissue)
    for seed in range(20):
        for box in draw_fields(slide, area, Wanted(4, 50.0, seed)).fields:
            assert box.x + box.width / 2 >= 300 - 8
    with pytest.raises(InputError, match="no square of 50 um of which half is tissue"):
        draw_fields(slide, Area(Tissue(~mask & mask, 8.0, 0.05)), Wanted(4, 50.0))


@pytest.mark.parametrize("searched", [True, False])
def test_the_area_of_tissue_is_that_of_whole_squares_though_a_region_cuts_them(
    slide: Slide, tmp_path: Path, searched: bool
) -> None:
    """All nuclei of a square are counted, so all of its tissue is what they are counted per."""
    corners = [[0, 0], [270, 0], [270, 400], [0, 400], [0, 0]]
    roi = tmp_path / "roi.geojson"
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    area = find_area(slide, Where(threshold=0.01 if searched else None, roi=roi))
    cut = 0
    for seed in range(10):
        frame = draw_fields(slide, area, Wanted(4, 50.0, seed))
        right = frame.origin_px[1] + (frame.squares % frame.grid[1] + 1).max() * 100
        cut += right > 270
        assert frame.tissue_mm2 == pytest.approx(frame.squares.size * 0.05**2, rel=1e-6)
    assert cut > 2
    corners[1][0] = corners[2][0] = 20
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    with pytest.raises(InputError, match="half is tissue in the region of interest; expected one"):
        draw_fields(slide, find_area(slide, Where(roi=roi)), Wanted(4, 50.0))


def test_there_are_no_more_fields_than_fit_and_a_small_image_is_one(slide: Slide) -> None:
    drawn = draw_fields(slide, Area(), Wanted(100, 100.0))
    assert len(drawn.fields) == drawn.squares.size <= 6
    whole = draw_fields(slide, Area(), Wanted(3, 400.0))
    assert whole.fields == (Box(0, 0, 400, 600),)


def test_more_fields_are_drawn_of_what_is_left(slide: Slide) -> None:
    frame = draw_fields(slide, Area(), Wanted(3, 30.0))
    whole, added = draw_more(frame, 8)
    assert whole.drawn.size == 8
    assert set(frame.fields) < set(whole.fields)
    assert set(added) == set(whole.fields) - set(frame.fields)
    assert draw_more(frame, 8)[1] == added, "the same again"
    same, none = draw_more(frame, 3)
    assert (same.fields, none) == (frame.fields, ())
    everything, _ = draw_more(frame, 10_000)
    assert everything.drawn.tolist() == frame.squares.tolist()


def test_what_is_left_is_drawn_with_one_chance(slide: Slide) -> None:
    frame = draw_fields(slide, Area(), Wanted(2, 30.0))
    often = np.zeros(frame.squares.size)
    for seed in range(600):
        whole, _ = draw_more(replace(frame, seed=seed), 4)
        assert whole.drawn.size == 4, "none is drawn twice"
        often += np.isin(frame.squares, np.setdiff1d(whole.drawn, frame.drawn))
    left = ~np.isin(frame.squares, frame.drawn)
    assert not often[~left].any()
    expected = 1200 / left.sum()
    assert ((often[left] - expected) ** 2 / expected).sum() < stats.chi2.ppf(0.9999, left.sum() - 1)


@pytest.mark.parametrize("side", [0.0, 15.0, 3000.0, float("nan")])
def test_a_side_that_no_field_has_is_refused(side: float) -> None:
    with pytest.raises(InputError, match="expected 16 to 2000 um"):
        Wanted(3, side)


def test_nuclei_of_fields_of_before_are_theirs(slide: Slide, model: Model) -> None:
    old, new = Box(75, 75, 100, 100), Box(75, 175, 100, 100)
    one_by_one = [*nuclei_in(slide, [old], model), *nuclei_in(slide, [new], model, [old])]
    together = nuclei_in(slide, [old, new], model)
    assert [each.outline for each in one_by_one] == [each.outline for each in together]


def test_nuclei_of_a_field_are_those_of_the_image_and_each_comes_once(
    slide: Slide, tissue, model: Model
) -> None:
    fields = [Box(75, 75, 100, 100), Box(75, 175, 100, 100)]
    found = nuclei_in(slide, fields, model)
    everything = shapely.from_wkb(segment_array(tissue, 0.5, model).nuclei["geometry"].to_numpy())
    both = shapely.union_all([outline_of(field) for field in fields])
    expected = everything[shapely.intersects(everything, both)]
    assert len(found) == len(expected) > 8
    outlines = np.array([nucleus.outline for nucleus in found])
    assert {nucleus.kind for nucleus in found} == {None}
    for outline in expected:
        overlap = shapely.area(shapely.intersection(outlines, outline))
        assert overlap.max() > 0.95 * shapely.area(outline)
        assert (overlap > 0.05 * shapely.area(outline)).sum() == 1
    assert not shapely.covered_by(outlines, both).all(), "what the border cuts is there whole"

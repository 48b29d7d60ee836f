"""Nuclei as points: what a person drew, in the px of a run."""

import numpy as np
import pytest
from shapely.geometry import Polygon

from nuguide.datasets.polygons import Outline
from nuguide.datasets.qupath_geojson import Drawn
from nuguide.evaluation.points import drawn_points, polygon_of

SQUARE = np.array([(10.0, 20.0), (14.0, 20.0), (14.0, 26.0), (10.0, 26.0)])


def drawn(kind: str, by: float = 0.0) -> Drawn:
    return Drawn(Outline(((SQUARE - 0.5 + by,),)), kind)


def test_a_point_is_the_centroid_from_the_corner_of_the_first_pixel() -> None:
    points = drawn_points([drawn("")])
    assert (points.y.tolist(), points.x.tolist()) == ([23.0], [12.0])


@pytest.mark.parametrize(
    ("kind", "type_", "positivity"),
    [
        ("", "", ""),
        ("Tumor", "Tumor", ""),
        ("Positive", "", "Positive"),
        ("Negative", "", "Negative"),
        ("2+", "", "Positive"),
        ("Tumor: Negative", "Tumor", "Negative"),
        ("Immune: 1+", "Immune", "Positive"),
        ("Nucleus: Positive", "", "Positive"),
        ("nuclei", "", ""),
    ],
)
def test_a_class_tells_type_and_positivity(kind: str, type_: str, positivity: str) -> None:
    points = drawn_points([drawn(kind)])
    assert (points.types.tolist(), points.positivity.tolist()) == ([type_], [positivity])


def test_holes_pieces_and_what_is_no_outline() -> None:
    hole = np.array([(11.0, 21.0), (13.0, 21.0), (13.0, 23.0), (11.0, 23.0)])
    outline = Outline(((SQUARE - 0.5, hole - 0.5), (SQUARE + 99.5,)))
    expected = Polygon(SQUARE, [hole]).union(Polygon(SQUARE + 100))
    assert polygon_of(outline).equals(expected)
    crossed = Outline(((SQUARE[[0, 2, 1, 3]],),))
    assert polygon_of(crossed).is_valid
    assert drawn_points([Drawn(Outline(()), "x"), Drawn(Outline(((SQUARE[:2],),)), "")]).y.size == 0
    assert drawn_points([]).y.size == 0

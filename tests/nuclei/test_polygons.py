import struct

import numpy as np
import pyarrow as pa
import pytest
import shapely

from nuguide.errors import InputError
from nuguide.nuclei.polygons import Polygons

SHAPES = [
    shapely.box(0, 0, 2, 1),
    shapely.Polygon([(5, 5), (8, 5.25), (6, 9)]),
    shapely.Point(1e5, -3).buffer(7),
]
WKB = [bytes(each) for each in shapely.to_wkb(SHAPES)]


def test_wkb_is_that_of_geos_and_comes_back() -> None:
    polygons = Polygons.from_wkb(pa.array(WKB))
    assert len(polygons) == 3
    assert polygons.to_wkb().to_pylist() == WKB
    assert shapely.equals_exact(polygons.to_shapely(), SHAPES).all()
    assert (polygons.bounds() == shapely.bounds(SHAPES)).all()


def test_a_part_of_a_column_and_a_column_in_chunks_are_read() -> None:
    column = pa.chunked_array([pa.array(WKB).slice(1), pa.array(WKB[:1])])
    assert Polygons.from_wkb(column).to_wkb().to_pylist() == [*WKB[1:], WKB[0]]


def test_there_may_be_none() -> None:
    none = Polygons.from_wkb(pa.array([], pa.binary()))
    assert len(none) == len(none.to_wkb()) == len(none.to_shapely()) == len(none.bounds()) == 0
    assert Polygons.from_wkb(pa.chunked_array([], pa.binary())).points.shape == (0, 2)


@pytest.mark.parametrize(
    "outline",
    [
        b"",
        WKB[0][:-1],
        WKB[0] + b"\0",
        shapely.to_wkb(SHAPES[0], byte_order=0),
        shapely.to_wkb(shapely.Point(1, 2)),
        shapely.to_wkb(SHAPES[0].exterior),
        shapely.to_wkb(shapely.box(-1, -1, 9, 9) - SHAPES[0]),
        shapely.to_wkb(shapely.force_3d(SHAPES[0]), output_dimension=3),
        struct.pack("<BIII", 1, 3, 1, 0),
        struct.pack("<BIII", 1, 3, 1, 2**32 - 1) + WKB[0][13:],
        struct.pack("<BIII", 1, 3, 2, 5) + WKB[0][13:],
    ],
)
def test_anything_else_is_refused(outline: bytes) -> None:
    with pytest.raises(InputError, match="outline 1 of 3 is no polygon of one ring"):
        Polygons.from_wkb(pa.array([WKB[0], outline, WKB[1]]))


def test_points_are_not_those_of_the_column() -> None:
    column = pa.array(WKB)
    polygons = Polygons.from_wkb(column)
    polygons.points[:] = 0
    assert column.to_pylist() == WKB
    assert np.any(Polygons.from_wkb(column).points)

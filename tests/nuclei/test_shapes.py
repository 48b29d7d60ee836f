import numpy as np
import pytest
import shapely
from scipy import ndimage

from nuguide.nuclei.outlines import trace
from nuguide.nuclei.polygons import Polygons
from nuguide.nuclei.shapes import shapes_of


@pytest.fixture(scope="module")
def blobs() -> Polygons:
    """Some hundred outlines of all sizes, many of them far from convex."""
    noise = np.random.default_rng(0).standard_normal((300, 300))
    labels, _ = ndimage.label(ndimage.gaussian_filter(noise, 2) > 0.05)
    return trace(labels, (50_000, 70_000)).polygons


def polygons_of(shapes: list[shapely.Polygon]) -> Polygons:
    # shapely's circle runs clockwise in (x, y).
    rings = [np.array(shapely.reverse(shape).exterior.coords) for shape in shapes]
    return Polygons(np.concatenate(rings), np.cumsum([0, *map(len, rings)]))


def test_shape_far_from_the_origin_is_the_same() -> None:
    circle = shapely.Point(0, 0).buffer(10, quad_segs=64)
    shapes = shapes_of(polygons_of([circle, shapely.transform(circle, lambda p: p + 1e5)]))
    assert shapes.major_axis == pytest.approx([20, 20], rel=1e-3)
    assert shapes.minor_axis[1] == pytest.approx(shapes.minor_axis[0], rel=1e-6)
    assert shapes.solidity == pytest.approx([1, 1])


def test_shapes_are_what_geos_says(blobs: Polygons) -> None:
    polygons, shapes = blobs.to_shapely(), shapes_of(blobs)
    assert len(polygons) > 100
    assert shapes.area == pytest.approx(shapely.area(polygons), rel=1e-9)
    assert shapes.centroid == pytest.approx(
        shapely.get_coordinates(shapely.centroid(polygons)), rel=1e-12
    )
    hull = shapely.area(shapely.convex_hull(polygons))
    assert shapes.solidity == pytest.approx(shapely.area(polygons) / hull, rel=1e-9)
    assert shapes.solidity.min() < 0.5
    steps = shapely.length(polygons) / shapes.perimeter
    assert steps == pytest.approx(np.full(len(polygons), 8 * (np.sqrt(2) - 1) / np.pi))


def test_a_point_on_the_side_of_a_hull_adds_nothing() -> None:
    square = shapely.Polygon([(0, 0), (0, 2), (0, 4), (4, 4), (4, 3), (2, 3), (4, 1), (4, 0)])
    assert shapes_of(polygons_of([square])).solidity[0] == pytest.approx(square.area / 16)


def test_there_may_be_none() -> None:
    shapes = shapes_of(Polygons(np.empty((0, 2)), np.zeros(1, np.int64)))
    assert all(len(values) == 0 for values in vars(shapes).values())

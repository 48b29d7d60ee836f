import time

import numpy as np
import pytest
import shapely

from nuguide.nuclei.outlines import trace


def discs(side: int, step: int) -> np.ndarray:
    """Ellipses of many sizes and directions on a lattice, numbered from 1."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    y, x = np.mgrid[:step, :step] - step // 2
    for i, top in enumerate(range(0, side - step + 1, step)):
        for j, left in enumerate(range(0, side - step + 1, step)):
            a, b, turn = *rng.uniform(step / 5, step / 2.4, 2), rng.uniform(0, np.pi)
            along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
            cell = labels[top : top + step, left : left + step]
            cell[(along / a) ** 2 + (across / b) ** 2 <= 1] = i * 1000 + j + 1
    return labels


def test_area_is_the_number_of_pixels() -> None:
    labels = discs(400, 31)
    outlines = trace(labels)
    present, count = np.unique(labels[labels > 0], return_counts=True)
    assert (outlines.labels == present).all()
    assert shapely.area(outlines.polygons.to_shapely()) == pytest.approx(count, rel=1e-6)
    assert shapely.is_valid(outlines.polygons.to_shapely()).all()


def test_centroid_is_that_of_the_pixels() -> None:
    labels = np.zeros((30, 40), np.int32)
    labels[5:12, 20:33] = 1
    (polygon,) = trace(labels).polygons.to_shapely()
    assert polygon.centroid.coords[0] == pytest.approx((26.5, 8.5))


def test_one_pixel_has_area_1_round_its_middle() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[2, 3] = 9
    outlines = trace(labels)
    assert outlines.labels.tolist() == [9]
    assert outlines.polygons.to_shapely()[0].area == pytest.approx(1.0)
    assert outlines.polygons.to_shapely()[0].centroid.coords[0] == pytest.approx((3.5, 2.5))


def test_outline_lies_on_the_pixel_edges() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 10:30] = 1
    assert trace(labels).polygons.to_shapely()[0].bounds == pytest.approx(
        (10, 10, 30, 30), abs=0.02
    )


def test_nuclei_at_the_edge_of_the_image() -> None:
    """None leaves the map, which takes at most half a pixel."""
    labels = np.ones((6, 7), np.int32)
    (polygon,) = trace(labels, (10.0, 20.0)).polygons.to_shapely()
    assert 41.5 <= polygon.area <= 42.0
    assert polygon.bounds == (20, 10, 27, 16)
    for place in ((0, 0), (0, 3), (5, 6), (2, 0)):
        one = np.zeros((6, 7), np.int32)
        one[place] = 1
        (polygon,) = trace(one).polygons.to_shapely()
        assert polygon.is_valid
        assert polygon.bounds[0] >= 0
        assert polygon.bounds[1] >= 0
        assert polygon.bounds[2] <= 7
        assert polygon.bounds[3] <= 6
        assert 0.5 < polygon.area <= 1.0


def test_bow_tie_stays_one_valid_polygon() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[1:6, 1:6] = 1
    labels[6:11, 6:11] = 1
    (polygon,) = trace(labels).polygons.to_shapely()
    assert polygon.is_valid
    assert polygon.geom_type == "Polygon"
    assert polygon.area == pytest.approx(50.0)


def test_holes_are_filled() -> None:
    labels = np.zeros((12, 12), np.int32)
    labels[2:10, 2:10] = 1
    labels[4:7, 4:7] = 0
    labels[5, 5] = 2
    first, second = trace(labels).polygons.to_shapely()
    assert first.area == pytest.approx(64.0)
    assert len(first.interiors) == 0
    assert second.area == pytest.approx(1.0)


def test_largest_piece_is_kept() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[1:4, 1:4] = 5
    labels[8:14, 8:14] = 5
    (polygon,) = trace(labels).polygons.to_shapely()
    assert polygon.area == pytest.approx(36.0)
    assert polygon.centroid.coords[0] == pytest.approx((11.0, 11.0))


def test_neighbours_overlap_by_less_than_half_a_pixel() -> None:
    labels = np.repeat(np.arange(1, 5), 10)[None].repeat(10, axis=0)
    polygons = trace(labels).polygons.to_shapely()
    overlap = shapely.area(shapely.intersection(polygons[:-1], polygons[1:]))
    assert overlap.max() < 0.5


def test_noise_gives_valid_polygons() -> None:
    rng = np.random.default_rng(2)
    for kinds in (2, 3, 5):
        labels = rng.integers(0, kinds, (60, 60)).astype(np.int32)
        assert shapely.is_valid(trace(labels).polygons.to_shapely()).all()


def test_nothing_gives_nothing() -> None:
    outlines = trace(np.zeros((10, 10), np.int32))
    assert len(outlines.labels) == len(outlines.polygons) == 0


def test_a_thousand_nuclei_take_no_loop_over_nuclei() -> None:
    labels = discs(1000, 31)
    start = time.process_time()
    count = len(trace(labels).labels)
    assert count == 1024
    # 0.1 s measured; the room is for a busy machine.
    assert time.process_time() - start < 1.0

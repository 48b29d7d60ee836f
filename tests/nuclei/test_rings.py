from itertools import pairwise

import numpy as np
import pytest

from nuguide.nuclei.rings import rings_of


def rings(labels: list[list[int]]) -> list[tuple[int, list[tuple[float, float]]]]:
    points, first, inside = rings_of(np.array(labels, np.int32))
    parts = np.split(points, first[1:-1])
    return [
        (int(label), [(float(x), float(y)) for x, y in part])
        for label, part in zip(inside, parts, strict=True)
    ]


def test_a_pixel_has_the_middles_of_its_edges_clockwise() -> None:
    assert rings([[0, 5]]) == [(5, [(1.5, 0.0), (2.0, 0.5), (1.5, 1.0), (1.0, 0.5)])]


def test_points_on_a_straight_line_are_left_out() -> None:
    ((_, points),) = rings([[1, 1, 1, 1]])
    assert points == [(0.5, 0.0), (3.5, 0.0), (4.0, 0.5), (3.5, 1.0), (0.5, 1.0), (0.0, 0.5)]


def test_pixels_that_meet_at_a_corner_are_one_ring() -> None:
    assert rings([[2, 0], [0, 2]]) == [(2, [(0.5, 0.0), (2.0, 1.5), (1.5, 2.0), (0.0, 0.5)])]


def test_a_hole_is_a_ring_the_other_way_round() -> None:
    labels = np.ones((5, 5), np.int32)
    labels[1:4, 1:4] = 0
    labels[2, 2] = 4
    points, first, inside = rings_of(labels)
    areas = []
    for begin, end in pairwise(first):
        x, y = points[begin:end].T
        areas.append(0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))
    assert inside.tolist() == [1, 4, 1]
    assert areas == pytest.approx([24.5, 0.5, -8.5])


def test_labels_that_touch_are_told_apart() -> None:
    assert [label for label, _ in rings([[3, 3, 7], [3, 7, 7]])] == [3, 7]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_nothing_has_no_rings(dtype: type) -> None:
    points, first, inside = rings_of(np.zeros((3, 4), dtype))
    assert (points.shape, first.tolist(), inside.size) == ((0, 2), [0], 0)

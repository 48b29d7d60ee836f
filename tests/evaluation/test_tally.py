"""Nuclei counted by place and by what is known of them."""

from collections.abc import Iterator

import numpy as np
import pytest
import shapely

from nuguide.datasets.frame import Frame
from nuguide.evaluation.points import ALL, Points
from nuguide.evaluation.tally import tally

NOWHERE = shapely.Polygon()


@pytest.fixture
def frame() -> Frame:
    """Two rows of three squares of 10 px, of which the last is no tissue."""
    return Frame("a", "ab", 0.5, 0, (0, 0), (10, 10), (2, 3), np.arange(5), np.array([1, 3]), 1.0)


def points(*told: tuple[float, float, str, str]) -> Points:
    y, x, types, positivity = zip(*told, strict=True) if told else ((),) * 4
    return Points(
        np.array(y, float), np.array(x, float), np.array(types, str), np.array(positivity, str)
    )


PARTS = [
    points(
        (5, 15, "Tumor", "Positive"), (5, 16, "Tumor", "Negative"), (5, 5, "Immune", "Positive")
    ),
    points((15, 5, "Immune", "Positive"), (5, 15, "Tumor", "Positive"), (15, 25, "Tumor", "")),
]


def test_a_nucleus_counts_in_its_field_elsewhere_or_outside(frame: Frame) -> None:
    found = tally(PARTS, frame, NOWHERE)
    kinds = [ALL, "Positive", "Tumor", "Immune", "of nobody"]
    assert found.in_fields(kinds).tolist() == [[3, 2, 3, 0, 0], [1, 1, 0, 1, 0]]
    assert found.elsewhere(kinds).tolist() == [1, 1, 0, 1, 0]
    assert found.outside == 1


def test_what_is_vague_is_not_counted_in_fields_and_counted_elsewhere(frame: Frame) -> None:
    found = tally(PARTS, frame, shapely.box(0, 0, 15.5, 10))
    assert found.in_fields([ALL]).tolist() == [[1], [1]]
    assert found.elsewhere([ALL]).tolist() == [1]


def test_no_nuclei_are_none(frame: Frame) -> None:
    for nothing in ([], [points()]):
        found = tally(nothing, frame, NOWHERE)
        assert found.in_fields([ALL]).tolist() == [[0], [0]]
        assert (found.elsewhere([ALL]).tolist(), found.outside) == ([0], 0)


def test_parts_are_not_kept(frame: Frame) -> None:
    def many() -> Iterator[Points]:
        for _ in range(100):
            yield PARTS[0]

    found = tally(many(), frame, NOWHERE)
    assert found.place.size == 3
    assert found.number.sum() == 300

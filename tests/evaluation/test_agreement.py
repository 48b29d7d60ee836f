"""Counts, areas and places of nuclei against the annotation."""

import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.evaluation.agreement import Counted, agreement_intervals, counted


def squares(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros((40, 40), np.int32)
    for number, (top, left, height, width) in enumerate(boxes, start=1):
        labels[top : top + height, left : left + width] = number
    return labels


def test_one_image_by_hand():
    truth = squares((0, 0, 10, 10), (20, 20, 10, 10), (0, 30, 4, 4))
    # The first is two columns wider, the second moved by two rows, the third is missed.
    prediction = squares((0, 0, 10, 12), (22, 20, 10, 10), (35, 0, 4, 4), (35, 20, 4, 4))
    found = counted(truth, prediction, mpp=0.5)
    assert (found.truth, found.prediction, found.matched) == (3, 4, 2)
    assert (found.truth_um2, found.prediction_um2) == (200 / 4, 220 / 4)
    assert found.deviation_um2 == 20 / 4
    assert found.distance_um == pytest.approx((1 + 2) * 0.5)


def test_numbers_with_gaps_and_of_another_order_change_nothing():
    truth = squares((0, 0, 10, 10), (20, 20, 10, 8))
    prediction = squares((20, 21, 10, 9), (0, 0, 10, 11))
    renamed = np.array([0, 900, 7])[prediction]
    assert counted(truth, prediction, 0.25) == counted(truth, renamed, 0.25)


def test_a_nucleus_that_is_larger_and_one_that_is_smaller_deviate_but_have_no_bias():
    truth = squares((0, 0, 10, 10), (20, 20, 10, 10))
    prediction = squares((0, 0, 10, 12), (20, 20, 10, 8))
    found = agreement_intervals([counted(truth, prediction, 0.25)], [""])
    assert found["area_ratio"].mean == 1
    assert found["area_deviation"].mean == pytest.approx(0.2)


def test_a_nucleus_in_an_ambiguous_area_counts_only_where_it_is_matched():
    truth = squares((0, 0, 10, 10), (0, 20, 10, 10))
    prediction = squares((0, 0, 10, 10), (20, 20, 10, 10))
    ignore = np.zeros(truth.shape, bool)
    ignore[:, 14:] = True
    found = counted(truth, prediction, 0.25, ignore)
    assert (found.truth, found.prediction, found.matched) == (1, 1, 1)
    half = np.zeros(truth.shape, bool)
    half[:6, :10] = True  # of the pair: 6 of 10 rows
    assert counted(truth, prediction, 0.5, half).truth == 2
    assert counted(truth, prediction, 0.5, half).truth_um2 == 10


def test_images_are_pooled_by_nucleus_and_drawn_by_origin():
    few = Counted(2, 1, 1, 10.0, 12.0, 2.0, 0.5)
    many = Counted(8, 9, 4, 40.0, 40.0, 4.0, 1.0)
    found = agreement_intervals([few, many], ["", ""])
    assert {name: value.mean for name, value in found.items()} == pytest.approx(
        {
            "count_ratio": 10 / 10,
            "area_ratio": 52 / 50,
            "area_deviation": 6 / 50,
            "centroid_um": 1.5 / 5,
        }
    )
    ratio = found["area_ratio"]
    assert (ratio.low, ratio.high, ratio.n) == (1, pytest.approx(1.2), 2)
    together = agreement_intervals([few, many], ["p", "p"])["area_ratio"]
    assert together.low == together.mean == together.high


@pytest.mark.parametrize(
    ("truth", "prediction", "names"),
    [
        (squares(), squares(), set()),
        (squares(), squares((0, 0, 5, 5)), set()),
        (squares((0, 0, 5, 5)), squares(), {"count_ratio"}),
    ],
)
def test_what_does_not_exist_is_left_out(truth, prediction, names):
    found = agreement_intervals([counted(truth, prediction, 0.25)] * 2, ["", ""])
    assert found.keys() == names


def test_an_image_without_a_match_does_not_spoil_the_interval():
    truth = squares((0, 0, 5, 5))
    images = [counted(truth, each, 0.25) for each in (truth, squares())]
    found = agreement_intervals(images, ["", ""])
    assert found["count_ratio"].mean == 0.5
    assert (found["area_ratio"].low, found["area_ratio"].high) == (1, 1)


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="the prediction is of shape"):
        counted(squares(), squares()[:20], 0.25)

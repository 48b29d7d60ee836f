import json
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.evaluation.score import DEFINITIONS, score

PIXEL_NAMES = (
    "dice_foreground",
    "iou_foreground",
    "dice_macro",
    "iou_macro",
    "dice_weighted",
    "iou_weighted",
)
INSTANCE_NAMES = ("aji", "aji_plus", "dq", "sq", "pq", "dice2")


def squares(*corners: tuple[int, int], side: int = 4, shape: tuple[int, int] = (32, 32)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def grid(n: int, side: int, shift: int = 0) -> NDArray[np.int32]:
    """Return n x n nuclei on a 1000 x 1000 map, each moved by ``shift``."""
    labels = np.zeros((1000, 1000), np.int32)
    step = 1000 // n
    for number in range(n * n):
        y, x = (number // n) * step + shift, (number % n) * step + shift
        labels[y : y + side, x : x + side] = number + 1
    return labels


def test_equals_the_public_reference_implementations(shared: Path):
    oracle = json.loads((shared / "oracles/metrics.json").read_text())
    with np.load(shared / "oracles/metrics_labels.npz") as maps:
        truths, predictions = maps["truth"], maps["prediction"]
    for case in oracle["cases"]:
        i = case["case"]
        got = score(truths[i], predictions[i])
        expected = {name: case[name] for name in DEFINITIONS if name in case}
        assert len(expected) >= len(PIXEL_NAMES)
        assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_every_score_has_a_one_line_definition():
    got = score(squares((2, 2)), squares((3, 3)))
    assert tuple(got) == PIXEL_NAMES + INSTANCE_NAMES == tuple(DEFINITIONS)
    assert all(text and "\n" not in text for text in DEFINITIONS.values())


def test_equal_maps_score_one_whatever_the_numbers():
    truth = squares((2, 2), (10, 10), (20, 4))
    renumbered = np.array([0, 70_000, 5, 2_000_000_000], np.int64)[truth]
    assert score(truth, renumbered) == pytest.approx(dict.fromkeys(DEFINITIONS, 1.0))


def test_nothing_to_find_and_nothing_found_is_perfect():
    empty = np.zeros((8, 8), np.uint16)
    assert score(empty, empty) == dict.fromkeys(DEFINITIONS, 1.0)


@pytest.mark.parametrize("flip", [False, True])
def test_nuclei_on_one_side_only_score_zero(flip: bool):
    pair = [squares((2, 2)), np.zeros((32, 32), np.int32)]
    got = score(*(pair[::-1] if flip else pair))
    assert [got[name] for name in INSTANCE_NAMES] == [0] * len(INSTANCE_NAMES)
    assert got["dice_foreground"] == got["iou_foreground"] == 0
    assert 0 < got["dice_macro"] < 0.5


def test_hand_computed_scores():
    # One nucleus found exactly, one overlapped by half of each (IoU 1/3), one missed.
    truth = squares((0, 0), (10, 10), (20, 20))
    prediction = squares((0, 0), (10, 12))
    got = score(truth, prediction)
    assert got["dice_foreground"] == pytest.approx(2 * 24 / (48 + 32))
    assert got["aji"] == got["aji_plus"] == pytest.approx(24 / (16 + 24 + 16))
    assert got["dq"] == pytest.approx(1 / (1 + 0.5 + 1))
    assert got["sq"] == 1
    assert got["pq"] == pytest.approx(0.4)
    assert got["dice2"] == pytest.approx(2 * 24 / 64)


def test_aji_lets_two_nuclei_share_a_prediction_and_aji_plus_does_not():
    truth = squares((0, 0), (0, 4))
    merged = (truth > 0).astype(np.int32)
    got = score(truth, merged)
    assert got["aji"] == pytest.approx((16 + 16) / (32 + 32))
    assert got["aji_plus"] == pytest.approx(16 / (32 + 16))


def test_one_to_one_matching_is_the_best_in_total_and_not_greedy():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]])
    prediction = np.array([[0, 0, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4]])
    # IoU: 2-3 is 5/10, but 1-3 (2/9) with 2-4 (3/8) is more in total.
    assert score(truth, prediction)["aji_plus"] == pytest.approx((2 + 3) / (9 + 8))


def test_ignored_pixels_are_not_scored():
    truth, prediction = squares((0, 0)), squares((0, 0), (20, 20))
    ignore = np.zeros(truth.shape, bool)
    ignore[18:, 18:] = True
    assert score(truth, prediction)["pq"] < 1
    assert score(truth, prediction, ignore) == pytest.approx(dict.fromkeys(DEFINITIONS, 1.0))


def test_a_nucleus_mostly_under_the_ignore_mask_is_neither_missed_nor_false():
    ignore = np.zeros((32, 32), np.uint8)
    ignore[:, 16:] = 255
    # Three quarters of the extra nucleus are ambiguous; its last column is not.
    both = squares((0, 0), (8, 15))
    one = squares((0, 0))
    for truth, prediction in ((one, both), (both, one)):
        got = score(truth, prediction, ignore)
        assert [got[name] for name in ("aji", "aji_plus", "dq", "sq", "pq")] == [1] * 5
        assert got["dice_foreground"] < 1
    # A nucleus that lies mostly outside still counts.
    assert score(one, squares((0, 0), (8, 13)), ignore)["dq"] == pytest.approx(2 / 3)


def test_only_ambiguous_nuclei_that_do_not_match_leave_nothing_to_detect():
    ignore = np.zeros((32, 32), bool)
    ignore[:, 16:] = True
    got = score(squares((8, 15), side=8), squares((12, 15), side=8), ignore)
    assert got["dq"] == 1
    assert 0 < got["aji"] < 1


@pytest.mark.parametrize(
    ("truth", "prediction", "ignore", "complaint"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4), int), None, "truth is float64"),
        (np.zeros((4, 4), int), np.zeros((4, 4), bool), None, "prediction is bool"),
        (np.zeros((4, 4, 1), int), np.zeros((4, 4), int), None, "expected a non-empty"),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), None, "expected a non-empty"),
        (np.full((4, 4), -1), np.zeros((4, 4), int), None, "truth holds -1"),
        (np.zeros((4, 4), int), np.zeros((4, 5), int), None, r"the prediction is of shape \(4, 5"),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), np.zeros((5, 4)), "the ignore mask is"),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), np.ones((4, 4)), "covers every pixel"),
    ],
)
def test_malformed_maps_are_refused(truth, prediction, ignore, complaint):
    with pytest.raises(InputError, match=complaint):
        score(truth, prediction, ignore)


def test_800_nuclei_in_a_million_pixels_are_scored_fast():
    truth, prediction = grid(29, side=22), grid(29, side=22, shift=5)
    assert truth.max() > 800
    times = []
    for _ in range(5):
        start = time.process_time()
        score(truth, prediction)
        times.append(time.process_time() - start)
    # The mark is 0.15 s on the clock; processor time does not count waiting for others.
    assert min(times) < 0.15

import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.evaluation import intervals
from nuguide.evaluation.intervals import bootstrap_mean, paired_difference, units_of


def test_interval_agrees_with_the_normal_one_for_many_images():
    values = np.random.default_rng(1).normal(0.8, 0.1, 400)
    got = bootstrap_mean(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert got.n == 400
    assert got.mean == pytest.approx(values.mean())
    assert got.low == pytest.approx(values.mean() - half, abs=0.001)
    assert got.high == pytest.approx(values.mean() + half, abs=0.001)


def test_interval_is_seeded():
    values = np.random.default_rng(3).random(14)
    assert bootstrap_mean(values) == bootstrap_mean(values)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_interval_of_one_image_is_its_value():
    assert bootstrap_mean([0.25]) == intervals.Interval(0.25, 0.25, 0.25, 1)


def test_interval_does_not_depend_on_how_draws_are_batched(monkeypatch):
    values = np.linspace(0, 1, 20)
    whole = bootstrap_mean(values)
    monkeypatch.setattr(intervals, "BATCH", 20 * 3000)
    assert bootstrap_mean(values) == whole


def test_a_constant_gain_on_very_different_images_has_no_doubt():
    hard_to_easy = np.linspace(0.1, 0.9, 14)
    got = paired_difference(hard_to_easy + 0.01, hard_to_easy)
    assert (got.mean, got.low, got.high) == pytest.approx((0.01, 0.01, 0.01))


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [[0.5]]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(InputError, match="one finite value per image"):
        bootstrap_mean(values)


def test_unpaired_images_are_refused():
    with pytest.raises(InputError, match="2 values are paired with 3"):
        paired_difference([1, 2], [1, 2, 3])


def test_images_of_one_patient_are_drawn_together():
    # Ten patients, each with ten images that are all alike: ten things are known, not a hundred.
    of_patient = np.random.default_rng(4).normal(0.7, 0.1, 10)
    values, origins = np.repeat(of_patient, 10), np.repeat([f"p{i}" for i in range(10)], 10)
    together = bootstrap_mean(values, origins=list(origins))
    expected = bootstrap_mean(of_patient)
    assert (together.low, together.high) == pytest.approx((expected.low, expected.high))
    alone = bootstrap_mean(values)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)
    assert together.n == 100


def test_patients_with_more_images_weigh_more():
    # The mean stays that over images: drawn are p, q; p q; q q -> 1, 1/4 or 0 on the way.
    got = bootstrap_mean([1, 0, 0, 0], origins=["p", "q", "q", "q"])
    assert (got.mean, got.low, got.high) == (0.25, 0, 1)


def test_images_of_unknown_patient_are_drawn_alone():
    assert units_of(["", "p", "", "p"]).tolist() == [0, 1, 2, 1]
    values = [0.1, 0.4, 0.8]
    assert bootstrap_mean(values, origins=[""] * 3) == bootstrap_mean(values)


def test_a_difference_may_be_drawn_by_patient():
    first, second = [0.5, 0.6, 0.9, 0.9], [0.5, 0.5, 0.5, 0.5]
    got = paired_difference(first, second, origins=["p", "p", "q", "q"])
    assert (got.mean, got.low, got.high) == pytest.approx((0.225, 0.05, 0.4))

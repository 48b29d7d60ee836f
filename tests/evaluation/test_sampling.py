"""Totals and shares of fields drawn at random: right on average, and as sure as they say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nuguide.evaluation.sampling import (
    LEAST_FOR_RATIO,
    Estimate,
    Stratum,
    estimated_share,
    estimated_total,
    fields_for,
    total_of_fields_alone,
)

Counts = NDArray[np.float64]


def population(squares: int, seed: int, missed: float = 0.4) -> tuple[Counts, Counts]:
    """Return true and found counts, (squares, 2): all nuclei, and one kind of them."""
    random = np.random.default_rng(seed)
    density = random.gamma(3.0, 4.0, squares)
    true = random.poisson(density).astype(float)
    of_kind = random.binomial(true.astype(int), 0.3)
    found = random.binomial(true.astype(int), 1 - missed) + random.poisson(0.5, squares)
    found_kind = random.binomial(found, 0.25)
    return np.stack([true, of_kind], 1).astype(float), np.stack([found, found_kind], 1) * 1.0


def drawn(true: Counts, found: Counts, n: int, random: np.random.Generator) -> Stratum:
    picked = random.choice(len(true), n, replace=False)
    return Stratum(len(true), found.sum(0), found[picked], true[picked])


def holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def test_totals_and_shares_are_right_though_the_model_is_not() -> None:
    slides = [population(300, 1), population(150, 2, missed=0.2)]
    total = sum(true.sum(0) for true, _ in slides)
    random = np.random.default_rng(0)
    totals, alone, shares = [], [], []
    for _ in range(1000):
        strata = [drawn(*slide, n, random) for slide, n in zip(slides, (10, 6), strict=True)]
        totals.append(estimated_total(strata))
        alone.append(total_of_fields_alone(strata))
        shares.append(estimated_share(strata, 1))
    assert sum(found.sum(0)[0] for _, found in slides) < 0.75 * total[0], "the model is far off"
    for estimates, truth in ((totals, total[0]), (alone, total[0]), (shares, total[1] / total[0])):
        assert np.mean([each.value for each in estimates]) == pytest.approx(truth, rel=0.02)
        assert 0.92 < np.mean([holds(each, truth) for each in estimates]) < 0.98
    width = [np.mean([each.high - each.low for each in some]) for some in (totals, alone)]
    assert width[0] < 0.6 * width[1], "the model's counts make it surer"


def test_the_formulas_are_those_of_the_book() -> None:
    """By hand, Cochran 1977, 2.30 and 6.4 (with his v2), one slide."""
    found, true = np.array([[4.0], [10.0], [6.0]]), np.array([[6.0], [15.0], [6.0]])
    stratum = Stratum(12, np.array([90.0]), found, true)
    estimate = estimated_total([stratum])
    assert estimate.value == pytest.approx(90 * 27 / 20)
    residuals = (true - 27 / 20 * found)[:, 0] * (90 / (12 * 20 / 3))
    variance = 12**2 * (1 - 3 / 12) / 3 * (residuals @ residuals) / 2
    assert estimate.variance == pytest.approx(variance)
    assert estimate.high - estimate.value == pytest.approx(4.30265 * variance**0.5, rel=1e-5)
    alone = total_of_fields_alone([stratum])
    assert alone.value == 12 * 9
    assert alone.variance == pytest.approx(12**2 * 0.75 / 3 * 27)


def test_there_are_no_fewer_than_were_annotated() -> None:
    found, true = np.array([[4.0], [20.0]]), np.array([[1.0], [40.0]])
    estimate = estimated_total([Stratum(3, np.array([26.0]), found, true)])
    assert estimate.low == 41 < estimate.value


def test_a_kind_is_the_models_corrected_by_the_fields() -> None:
    """By hand: 1.5 times the model's 40, and what the fields hold beyond 1.5 times its counts."""
    found = np.array([[10.0, 2.0], [10.0, 4.0]])
    true = np.array([[12.0, 4.0], [18.0, 6.0]])
    estimate = estimated_total([Stratum(10, np.array([100.0, 40.0]), found, true)], 1)
    assert estimate.value == pytest.approx(1.5 * 40 + 10 * ((4 - 3) + (6 - 6)) / 2)
    assert estimate.variance == pytest.approx(10**2 * 0.8 / 2 * 0.5)


def test_where_the_model_finds_next_to_nothing_its_number_is_no_divisor() -> None:
    found, true = np.array([[0.0], [1.0], [0.0]]), np.array([[6.0], [15.0], [6.0]])
    assert found.sum() < LEAST_FOR_RATIO
    estimate = estimated_total([Stratum(12, np.array([5.0]), found, true)])
    assert estimate.value == 5 + 12 * 26 / 3
    two = Stratum(12, np.array([5.0, 7.0]), np.hstack([found] * 2), np.hstack([true] * 2))
    assert estimated_total([two], 1, told=False).value == total_of_fields_alone([two], 1).value


def test_a_kind_that_the_model_does_not_tell_is_compared_with_all_nuclei() -> None:
    true, found = population(300, 3)
    random = np.random.default_rng(1)
    share = true[:, 1].sum() / true[:, 0].sum()
    estimates = [
        estimated_share([drawn(true, found, 10, random)], 1, told=False) for _ in range(1000)
    ]
    assert np.mean([each.value for each in estimates]) == pytest.approx(share, rel=0.03)
    assert 0.91 < np.mean([holds(each, share) for each in estimates]) < 0.98


@pytest.mark.parametrize("fields", [3, 10])
def test_where_most_squares_are_empty_intervals_are_as_wide_as_that_leaves_them(
    fields: int,
) -> None:
    """Of 400 squares four in five hold nothing: what is not told is not told falsely."""
    true, found = population(400, 5)
    kept = np.random.default_rng(6).random((400, 1)) < 0.2
    true, found = true * kept, found * kept
    random = np.random.default_rng(7)
    for estimate_of in (estimated_total, total_of_fields_alone):
        estimates = [estimate_of([drawn(true, found, fields, random)]) for _ in range(1000)]
        told = [each for each in estimates if not np.isnan(each.low)]
        assert all(each.low < each.high for each in told)
        held = sum(holds(each, true[:, 0].sum()) for each in told)
        assert held > 0.84 * len(told), estimate_of.__name__


def test_fields_that_do_not_differ_give_no_interval() -> None:
    found, true = np.array([[4.0, 2.0], [6.0, 1.0]]), np.array([[4.0, 0.0], [6.0, 0.0]])
    stratum = Stratum(10, np.array([55.0, 12.0]), found, true)
    total = estimated_total([stratum])
    assert (total.value, total.variance) == (55.0, 0.0)
    assert np.isnan((total.low, total.high)).all()
    alike = Stratum(10, np.array([700.0]), np.array([[47.0], [94.0]]), np.array([[12.0], [24.0]]))
    assert np.isnan(estimated_total([alike]).low), "the same ratio in both, but for rounding"
    assert estimated_share([stratum], 0) == Estimate(1.0, 1.0, 1.0, 0.0)
    alone = total_of_fields_alone([stratum], 1)
    assert alone.value == 0, "none was seen: that there is none anywhere is not known"
    assert np.isnan((alone.low, alone.high)).all()


def test_when_all_squares_are_annotated_nothing_is_left_to_guess() -> None:
    true, found = population(20, 4)
    stratum = Stratum(20, found.sum(0), found, true)
    total = true[:, 0].sum()
    for estimate in (estimated_total([stratum]), total_of_fields_alone([stratum])):
        assert (estimate.low, estimate.high) == (estimate.value, estimate.value)
        assert estimate.value == pytest.approx(total)
    share = estimated_share([stratum], 1)
    assert share.value == share.low == pytest.approx(true[:, 1].sum() / total)


def test_without_nuclei_there_are_none_and_no_share() -> None:
    nothing = Stratum(9, np.zeros(2), np.zeros((3, 2)), np.zeros((3, 2)))
    total = estimated_total([nothing])
    assert total.value == 0
    assert np.isnan(estimated_share([nothing], 1).value)


def test_a_share_lies_between_none_and_all() -> None:
    found = np.array([[9.0, 5.0], [9.0, 5.0]])
    true = np.array([[9.0, 9.0], [8.0, 8.0]])
    share = estimated_share([Stratum(10, np.array([90.0, 55.0]), found, true)], 1)
    assert (share.value, share.high) == (1.0, 1.0)
    assert 0 < share.low <= 1


def test_so_many_fields_give_an_interval_of_the_width_that_was_asked_for() -> None:
    random = np.random.default_rng(4)
    true = random.poisson(20, (2000, 1)).astype(float)
    found = random.binomial(true.astype(int), 0.7).astype(float)
    first = Stratum(2000, found.sum(axis=0), found[:40], true[:40])
    total = estimated_total([first])
    half = (total.high - total.value) / total.value
    assert half > 0.03
    needed = fields_for(total, 40, 2000, 0.02)
    more = Stratum(2000, found.sum(axis=0), found[:needed], true[:needed])
    then = estimated_total([more])
    assert (then.high - then.value) / then.value == pytest.approx(0.02, rel=0.2)
    assert fields_for(total, 40, 2000, half) == 41, "more than there are"
    assert fields_for(total, 40, 2000, 1e-6) == 2000, "no more than there can be"

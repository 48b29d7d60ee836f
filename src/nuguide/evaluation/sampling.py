"""What fields drawn at random say of whole slides: totals and shares, with their intervals.

A model counts every square of a slide, a person some of them. The model's total, corrected by the
ratio of the two where both counted, is as sure as the model's errors are alike from square to
square. Whatever these errors are it is right on average but for a bias that falls as one over the
number of fields: 1 % or so with ten of them, unless most of these hold no nucleus.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nuguide.evaluation.intervals import LEVEL

LEAST_FOR_RATIO = 10
"""Nuclei that a model must count in the fields for their number to be a divisor."""


@dataclass(frozen=True, eq=False)
class Stratum:
    """A slide: what was counted of k kinds of nuclei in its N squares and in the n drawn of them.

    Attributes
    ----------
    squares : int
        N, of which each had the same chance to be drawn.
    everywhere : ndarray
        (k,) counts of the model over all squares.
    found : ndarray
        (n, k) counts of the model in the drawn ones.
    annotated : ndarray
        (n, k) true counts there; n is 2 or more, or N.
    """

    squares: int
    everywhere: NDArray[np.float64]
    found: NDArray[np.float64]
    annotated: NDArray[np.float64]

    @property
    def fields(self) -> int:
        """How many were drawn."""
        return len(self.annotated)

    def variance(self, residuals: NDArray[np.float64]) -> float:
        """Return the variance of a total over all squares, of (n,) residuals in the drawn ones."""
        if self.fields == self.squares:
            return 0.0
        missing = 1 - self.fields / self.squares
        return float(self.squares**2 * missing * residuals.var(ddof=1) / self.fields)


@dataclass(frozen=True)
class Estimate:
    """A total or a share, and the interval that holds the true one.

    Attributes
    ----------
    value, low, high : float
        ``low`` and ``high`` enclose the true value in ``LEVEL`` of the draws, about. They are nan
        where squares are left and the drawn ones do not differ: no sample is as sure as that.
    variance : float
        Of ``value``.
    """

    value: float
    low: float
    high: float
    variance: float


@dataclass(frozen=True, eq=False)
class _Linear:
    """A total, and how far each field pulls at it: a list of (n,) residuals, one a slide."""

    value: float
    residuals: list[NDArray[np.float64]]


def estimated_total(strata: Sequence[Stratum], kind: int = 0, *, told: bool = True) -> Estimate:
    """Estimate how many nuclei of a kind there are in all squares of all slides.

    Parameters
    ----------
    strata : sequence of Stratum
        A slide or more.
    kind : int
        Which of the k; 0 is all nuclei.
    told : bool
        Whether the model tells the kind; if not, it is compared with all that the model counts.

    Notes
    -----
    Of all nuclei, and of a kind that the model does not tell, the combined ratio estimator of
    stratified sampling. Of a kind that it tells, the difference estimator, the model's counts
    multiplied by the ratio of all nuclei before: a ratio of small numbers would be biased. Where
    the model counts fewer than ``LEAST_FOR_RATIO`` nuclei in the fields that ratio is 1. The
    variance is that of the residuals, for a ratio estimator scaled by how far the fields are from
    the mean square; the interval is of Student's t with Satterthwaite's degrees of freedom, and
    neither end nor value lies below what was annotated: so a kind that is rarer than the model's
    errors comes out too high on average. A field counts for the degrees of freedom if it pulls at
    the total: ten fields of which eight are empty on both sides tell of residuals what two do.

    References
    ----------
    Cochran, Sampling Techniques, 3rd ed., 1977, sections 5.4, 6.3, 6.11; Särndal, Swensson,
    Wretman, Model Assisted Survey Sampling, 1992, section 7.3. Korn, Graubard, Analysis of Health
    Surveys, 1999 (degrees of freedom of a part of the population).
    """
    total = _total(strata, kind, told)
    seen = sum(float(each.annotated[:, kind].sum()) for each in strata)
    return _with_interval(strata, total, (seen, np.inf))


def total_of_fields_alone(strata: Sequence[Stratum], kind: int = 0) -> Estimate:
    """Estimate the same total as if no model had counted: the mean field, times the squares."""
    annotated = [each.annotated[:, kind] for each in strata]
    value = sum(
        each.squares * float(counts.mean()) for each, counts in zip(strata, annotated, strict=True)
    )
    seen = sum(float(counts.sum()) for counts in annotated)
    return _with_interval(strata, _Linear(value, annotated), (seen, np.inf))


def estimated_share(strata: Sequence[Stratum], kind: int, *, told: bool = True) -> Estimate:
    """Estimate which share of all nuclei, kind 0, is of a kind, 0 to 1; nan where there are none.

    Parameters
    ----------
    strata, kind, told
        As in ``estimated_total``.
    """
    part, whole = _total(strata, kind, told), _total(strata, 0, told=True)
    if kind == 0 and whole.value > 0:
        return Estimate(1.0, 1.0, 1.0, 0.0)
    if whole.value <= 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    share = part.value / whole.value
    residuals = [
        _settled(of_part - share * of_whole) / whole.value
        for of_part, of_whole in zip(part.residuals, whole.residuals, strict=True)
    ]
    return _with_interval(strata, _Linear(share, residuals), (0.0, 1.0))


def fields_for(total: Estimate, fields: int, squares: int, aim: float) -> int:
    """Return about how many fields would bring the half of an interval down to a share of a total.

    Parameters
    ----------
    total : Estimate
        By the fields that there are; its variance is above 0.
    fields, squares : int
        That were drawn, and that they were drawn from, over all slides.
    aim : float
        Half of the interval over the total.

    Returns
    -------
    int
        Fields in all, as many of each slide as there are now in proportion, if those to come are
        like these; more than ``fields``, but no more than ``squares``.
    """
    needed = math.inf
    for _ in range(4):  # few fields make a wider interval than many of the same spread
        width = float(stats.t.ppf((1 + LEVEL) / 2, needed - 1))
        ratio = (aim * total.value / width) ** 2 / total.variance
        needed = max(fields + 1, 1 / (1 / squares + (1 / fields - 1 / squares) * ratio))
    return min(squares, math.ceil(needed))


def _total(strata: Sequence[Stratum], kind: int, told: bool) -> _Linear:
    """Return ratio * (the model's total) + (what the fields hold beyond ratio * the model's)."""
    beside = kind if told else 0
    found = [each.found[:, beside] for each in strata]
    annotated = [each.annotated[:, kind] for each in strata]
    counted = sum(float(each.everywhere[beside]) for each in strata)
    scale = 1.0
    if sum(float(each.found[:, 0].sum()) for each in strata) < LEAST_FOR_RATIO:
        ratio = float(told)
    else:
        of_fields = _expanded(strata, [each.found[:, 0] for each in strata])
        corrected = [each.annotated[:, 0] for each in strata] if told else annotated
        ratio = _expanded(strata, corrected) / of_fields
        if beside == 0:  # then the ratio makes the fields' part 0, and all rests on it
            scale = counted / of_fields
    beyond = [_settled(y - ratio * x) for x, y in zip(found, annotated, strict=True)]
    return _Linear(ratio * counted + _expanded(strata, beyond), [scale * each for each in beyond])


def _settled(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take what rounding left of nothing, in nuclei, for nothing."""
    return np.where(np.abs(residuals) < 1e-9, 0.0, residuals)


def _expanded(strata: Sequence[Stratum], values: Sequence[NDArray[np.float64]]) -> float:
    """Return the total over all squares if those that were not drawn are as those that were."""
    return sum(each.squares * float(own.mean()) for each, own in zip(strata, values, strict=True))


def _with_interval(
    strata: Sequence[Stratum], total: _Linear, bounds: tuple[float, float]
) -> Estimate:
    parts = np.array([each.variance(e) for each, e in zip(strata, total.residuals, strict=True)])
    variance = float(parts.sum())
    half = np.nan if any(each.fields < each.squares for each in strata) else 0.0
    if variance > 0:
        pulling = [np.count_nonzero(residuals) for residuals in total.residuals]
        free = np.array([max(each - 1, 1) for each in pulling])
        degrees = variance**2 / float((parts**2 / free).sum())
        half = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * variance**0.5
    ends = np.array([0.0, -half, half]) + total.value
    value, low, high = np.clip(ends, *bounds).tolist()
    return Estimate(value, low, high, variance)

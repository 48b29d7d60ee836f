"""How sure a mean over images is: seeded bootstrap intervals, of a mean and of a difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError

LEVEL = 0.95
"""Share of the resampled means that an interval holds."""

RESAMPLES = 10_000
BATCH = 2_000_000
"""Drawn values held at a time, so that memory does not grow with the number of images."""


@dataclass(frozen=True)
class Interval:
    """A mean over images and its bootstrap percentile interval.

    Attributes
    ----------
    mean, low, high : float
        In the unit of the values; ``low <= high`` enclose ``LEVEL`` of the resampled means.
    n : int
        Number of images.
    """

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: Sequence[float] | NDArray[np.float64], seed: int = 0) -> Interval:
    """Return the mean of ``values`` with its 95 % bootstrap percentile interval.

    Parameters
    ----------
    values : sequence of float
        (n,) one finite value per image. Images, not nuclei, are what is drawn again.
    seed : int
        Of the draws: equal values and seed give an equal interval.

    Raises
    ------
    InputError
        If there is no value, or one is not finite.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise InputError(
            f"the values to average have shape {sample.shape}, "
            f"{np.count_nonzero(~np.isfinite(sample))} of them not finite; expected one finite "
            "value per image; leave out images without a score"
        )
    draws = np.random.default_rng(seed)
    rows = max(1, BATCH // sample.size)
    means = [
        sample[draws.integers(sample.size, size=(min(rows, RESAMPLES - start), sample.size))].mean(
            axis=1
        )
        for start in range(0, RESAMPLES, rows)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sample.mean()), float(low), float(high), sample.size)


def paired_difference(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
) -> Interval:
    """Return the mean of ``first - second`` over the same images, with its interval.

    Pairing takes out what makes some images harder than others for both.

    Raises
    ------
    InputError
        If the two differ in length, are empty, or hold a value that is not finite.
    """
    if len(first) != len(second):
        raise InputError(
            f"{len(first)} values are paired with {len(second)}; expected the same images on both "
            "sides; score both on one data set and split"
        )
    return bootstrap_mean(np.asarray(first, np.float64) - np.asarray(second, np.float64), seed)

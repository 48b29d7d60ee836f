"""How sure a mean over images is: seeded bootstrap intervals, of a mean and of a difference.

What is drawn again is the unit that was drawn when the data was gathered: the patient or slide,
where several images share one, else the image. Never the nucleus: those of one image are too much
alike.
"""

from collections.abc import Callable, Sequence
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
    """A mean over images, or a value pooled over them, and its bootstrap percentile interval.

    Attributes
    ----------
    mean, low, high : float
        In the unit of the values; ``low <= high`` enclose ``LEVEL`` of the resampled ones.
    n : int
        Number of images.
    """

    mean: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
    *,
    origins: Sequence[str] | None = None,
) -> Interval:
    """Return the mean of ``values`` with its 95 % bootstrap percentile interval.

    Parameters
    ----------
    values : sequence of float
        (n,) one finite value per image.
    seed : int
        Of the draws: equal values and seed give an equal interval.
    origins : sequence of str, optional
        (n,) patient or slide of each image, ``""`` where unknown. An origin is drawn with all its
        images; an image of unknown origin, or every image if this is None, is drawn alone.

    Raises
    ------
    InputError
        If there is no value, or one is not finite.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Patients drawn with
    all their images: Field and Welsh, J. R. Statist. Soc. B 69(3), 2007.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise InputError(
            f"the values to average have shape {sample.shape}, "
            f"{np.count_nonzero(~np.isfinite(sample))} of them not finite; expected one finite "
            "value per image; leave out images without a score"
        )
    unit = units_of([""] * sample.size if origins is None else origins)
    totals = resampled_totals(np.stack([sample, np.ones(sample.size)], axis=1), unit, seed)
    low, high = percentiles(totals[:, 0] / totals[:, 1])
    return Interval(float(sample.mean()), float(low), float(high), sample.size)


def paired_difference(
    first: Sequence[float] | NDArray[np.float64],
    second: Sequence[float] | NDArray[np.float64],
    seed: int = 0,
    *,
    origins: Sequence[str] | None = None,
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
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return bootstrap_mean(difference, seed, origins=origins)


def pooled_intervals(
    additive: NDArray[np.float64],
    from_totals: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]],
    origins: Sequence[str],
    seed: int = 0,
) -> dict[str, Interval]:
    """Return values that are pooled over images, with their 95 % bootstrap intervals.

    Images, or origins with all their images, are drawn again and pooled anew.

    Parameters
    ----------
    additive : ndarray
        (n, k) what each image adds.
    from_totals : callable
        From (r, k) totals over images to each value, (r,), by name; nan where it does not exist.
    origins : sequence of str
        (n,) see ``bootstrap_mean``.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Interval
        Of the values that exist over all images; ``mean`` is the pooled value.
    """
    over_all = from_totals(additive.sum(axis=0, keepdims=True))
    drawn = from_totals(resampled_totals(additive, units_of(origins), seed))
    found = {}
    for name, (value,) in over_all.items():
        if np.isfinite(value):
            low, high = percentiles(drawn[name])
            found[name] = Interval(float(value), float(low), float(high), len(additive))
    return found


def units_of(origins: Sequence[str]) -> NDArray[np.int64]:
    """Number the units that are drawn: (n,) one number per image, from 0 up, in order."""
    numbers: dict[object, int] = {}
    return np.array(
        [numbers.setdefault(name or place, len(numbers)) for place, name in enumerate(origins)],
        np.int64,
    )


def resampled_totals(
    values: NDArray[np.float64], unit: NDArray[np.int64], seed: int = 0
) -> NDArray[np.float64]:
    """Draw the units again and add up what their images hold.

    Parameters
    ----------
    values : ndarray
        (n, k) k numbers per image.
    unit : ndarray
        (n,) see ``units_of``.

    Returns
    -------
    ndarray
        (RESAMPLES, k) totals.
    """
    n_units = int(unit.max()) + 1
    of_unit = np.zeros((n_units, values.shape[1]))
    np.add.at(of_unit, unit, values)
    draws = np.random.default_rng(seed)
    rows = max(1, BATCH // of_unit.size)
    return np.concatenate(
        [
            of_unit[draws.integers(n_units, size=(min(rows, RESAMPLES - start), n_units))].sum(1)
            for start in range(0, RESAMPLES, rows)
        ]
    )


def percentiles(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the interval, (2, ...), of (RESAMPLES, ...) values; nan is left out."""
    ends: NDArray[np.float64] = np.nanquantile(
        statistic, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    return ends

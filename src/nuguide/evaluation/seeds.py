"""How sure a mean over trainings and images is: both are drawn again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.evaluation.intervals import LEVEL, RESAMPLES, Interval, units_of

RULE = (
    "mean over seeds and images; 95 % percentile interval of 10,000 bootstrap draws, each drawing "
    "the seeds again and, independently, the images again (both with replacement; every drawn seed "
    "is read on every drawn image)"
)
"""How ``crossed_mean`` is made, for tables and documents."""


def crossed_mean(
    values: NDArray[np.float64], seed: int = 0, *, origins: Sequence[str] | None = None
) -> Interval:
    """Return the mean over seeds and images with its 95 % interval.

    A training's luck and an image's difficulty both vary, and every training is scored on the same
    images: seeds and images are crossed factors, so whole rows and whole columns are drawn again,
    not single values. With few seeds such an interval is coarse, and with one it says nothing of
    training's luck.

    Parameters
    ----------
    values : ndarray
        (seeds, images) finite values: scores, or differences paired by seed and image.
    seed : int
        Of the draws: equal values and seed give an equal interval.
    origins : sequence of str, optional
        (images,) patient or slide of each image, ``""`` where unknown, drawn with all its images;
        None: every image is drawn alone. See ``nuguide.evaluation.intervals.bootstrap_mean``.

    Returns
    -------
    Interval
        ``n`` counts the images.

    Raises
    ------
    InputError
        If there is no value, or one is not finite.

    References
    ----------
    Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007.
    """
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise InputError(
            f"the scores to average have shape {values.shape}, "
            f"{np.count_nonzero(~np.isfinite(values))} of them not finite; expected one finite "
            "score for each seed and image; leave out what was not scored"
        )
    unit = np.arange(values.shape[1]) if origins is None else units_of(origins)
    n_units = int(unit.max()) + 1
    totals = np.zeros((len(values), n_units))
    for of_seed, row in zip(totals, values, strict=True):
        np.add.at(of_seed, unit, row)
    draws = np.random.default_rng(seed)
    # How often each seed and unit is drawn; a unit weighs as much as it has images.
    by_seed, by_unit = (
        draws.multinomial(count, np.full(count, 1 / count), RESAMPLES) for count in totals.shape
    )
    drawn = len(values) * (by_unit @ np.bincount(unit))
    means = np.einsum("rs,rs->r", by_seed, by_unit @ totals.T) / drawn
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high), values.shape[1])

"""Scores of nucleus types: is each nucleus found, and is it the right kind?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.evaluation.instances import MATCH_IOU
from nuguide.evaluation.intervals import Interval, pooled_intervals
from nuguide.evaluation.overlap import Instances, Labels, instances_of, overlap_of

DEFINITIONS = {
    "pq_<type>": (
        "PQ of one type, with TP, FP, FN and IoU pooled over all images (not a mean over images)"
    ),
    "mpq_plus": "mean of the pooled PQ over the types that occur (mPQ+, CoNIC challenge)",
    "r2_<type>": "coefficient of determination of one type's nucleus counts over the images",
    "r2": "mean of the R2 of counts over the types",
}
"""What each score of a set of images is; ``<type>`` stands for 1 to ``n_types``."""


def definition_of(name: str, classes: Sequence[str]) -> str:
    """Return the definition of a score, with the name of its type, ``classes[type - 1]``."""
    kind, _, number = name.rpartition("_")
    if not number.isdigit():
        return DEFINITIONS[name]
    return f"{DEFINITIONS[kind + '_<type>']}; type {number}: {classes[int(number) - 1]}"


def why_not_scored(said: Sequence[str], named: Sequence[str]) -> str:
    """Say why types are not scored; nothing if they are, or the model tells none apart.

    Types are compared by number, so the lists have to be one.

    Parameters
    ----------
    said, named : sequence of str
        The types of the model's card, and the data set's; empty where they have no names.
    """
    if not said or not named or tuple(said) == tuple(named):
        return ""
    return (
        f"types are not scored: the model tells {', '.join(said)} apart, the data set has "
        f"{', '.join(named)}; expected the same in the same order"
    )


@dataclass(frozen=True)
class Tally:
    """What one image adds to the scores of types, (n_types,) each.

    Attributes
    ----------
    iou_sum : ndarray
        Total IoU of the matched nuclei.
    truth, prediction : ndarray
        Nuclei that count.
    """

    iou_sum: NDArray[np.float64]
    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]


def score_types(
    truths: Sequence[Labels],
    predictions: Sequence[Labels],
    truth_types: Sequence[Labels],
    prediction_types: Sequence[Labels],
    n_types: int,
    ignores: Sequence[NDArray[np.generic] | None] | None = None,
) -> dict[str, float]:
    """Score typed nuclei over a set of images.

    Parameters
    ----------
    truths, predictions : sequences of NDArray of integers
        (H, W) instance maps, one a image; 0 is background.
    truth_types, prediction_types : sequences of NDArray of integers
        (H, W) type of each pixel's nucleus, 1 to ``n_types``; 0 is background or no type.
    n_types : int
        Number of types.
    ignores : sequence of NDArray or None, optional
        As in ``nuguide.evaluation.score.score``.

    Returns
    -------
    dict of str to float
        ``pq_1`` .. ``pq_<n_types>``, ``mpq_plus``, ``r2_1`` .. ``r2_<n_types>``, ``r2``.

    Raises
    ------
    InputError
        If the sequences differ in length or are empty, a map is malformed, or a type is above
        ``n_types``.

    Notes
    -----
    A nucleus has one type: the commonest among its typed pixels. A nucleus without a typed pixel
    belongs to no type and is left out; so is a predicted nucleus that matches a true one without a
    type, since nobody knows whether its own is wrong. The type of a match must agree: a nucleus
    that is found but of the wrong type is missed for one type and false for another.

    A type that occurs neither in the truth nor in the prediction has no PQ (nan) and is left out
    of ``mpq_plus``. Where the true counts do not vary R2 is 1 if all counts agree, else 0.

    References
    ----------
    Graham et al., CoNIC Challenge, Medical Image Analysis 2024.
    """
    ignores = [None] * len(truths) if ignores is None else ignores
    _check_lengths(truths, predictions, truth_types, prediction_types, ignores)
    tallies = [
        tally(*image, n_types=n_types)
        for image in zip(truths, predictions, truth_types, prediction_types, ignores, strict=True)
    ]
    return type_scores(tallies)


def type_scores(tallies: Sequence[Tally]) -> dict[str, float]:
    """Return the scores of ``score_types`` from one tally per image."""
    totals = _additive(tallies).sum(axis=0, keepdims=True)
    return {name: float(values[0]) for name, values in _from_totals(totals).items()}


def type_intervals(
    tallies: Sequence[Tally], origins: Sequence[str], seed: int = 0
) -> dict[str, Interval]:
    """Return the scores of ``type_scores`` that are numbers, with their 95 % bootstrap interval.

    Images, or origins with all their images, are drawn again and pooled anew.

    Parameters
    ----------
    tallies : sequence of Tally
        One per image.
    origins : sequence of str
        Patient or slide of each image, see ``bootstrap_mean``.
    seed : int
        Of the draws.
    """
    return pooled_intervals(_additive(tallies), _from_totals, origins, seed)


def _additive(tallies: Sequence[Tally]) -> NDArray[np.float64]:
    """Return (n, 5 * n_types + 1): what, added up over images, gives every score."""
    truth = np.stack([tally.truth for tally in tallies]).astype(np.float64)
    prediction = np.stack([tally.prediction for tally in tallies])
    iou = np.stack([tally.iou_sum for tally in tallies])
    half = (truth + prediction) / 2
    images = np.ones((len(tallies), 1))
    return np.concatenate([iou, half, truth, truth**2, (truth - prediction) ** 2, images], axis=1)


def _from_totals(totals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return every score, (r,), from r rows of totals over images (see ``_additive``).

    DQ * SQ = sum of IoU / (TP + FP/2 + FN/2), and the divisor is half of all nuclei counted.
    """
    iou, half, truth, squared, residual = np.split(totals[:, :-1], 5, axis=1)
    pq = np.divide(iou, half, out=np.full(iou.shape, np.nan), where=half > 0)
    spread = squared - truth**2 / totals[:, -1:]
    unexplained = np.divide(
        residual, spread, out=(residual > 0).astype(np.float64), where=spread > 0
    )
    occurring = (half > 0).sum(axis=1)
    mean = np.divide(
        np.nansum(pq, axis=1), occurring, out=np.full(len(pq), np.nan), where=occurring > 0
    )
    return {
        **{f"pq_{k}": values for k, values in enumerate(pq.T, start=1)},
        "mpq_plus": mean,
        **{f"r2_{k}": 1 - values for k, values in enumerate(unexplained.T, start=1)},
        "r2": 1 - unexplained.mean(axis=1),
    }


def _check_lengths(*sequences: Sequence[object]) -> None:
    """Raise ``InputError`` unless all sequences are of one length above 0."""
    lengths = [len(sequence) for sequence in sequences]
    if min(lengths) == 0 or min(lengths) != max(lengths):
        raise InputError(
            f"truths, predictions, truth_types, prediction_types, ignores hold {lengths} maps; "
            "expected one each for every image, at least one image; pass equal sequences"
        )


def tally(
    truth: Labels,
    prediction: Labels,
    truth_types: Labels,
    prediction_types: Labels,
    ignore: NDArray[np.generic] | None,
    *,
    n_types: int,
) -> Tally:
    """Count matches and nuclei of each type in one image; for the arguments see ``score_types``.

    Raises
    ------
    InputError
        If a map is malformed, or a type is above ``n_types``.
    """
    true, guess = instances_of(truth, "truth"), instances_of(prediction, "prediction")
    overlap = overlap_of(true, guess, ignore)
    true_type = _types_of(true, truth_types, n_types, "truth_types")
    guess_type = _types_of(guess, prediction_types, n_types, "prediction_types")
    found = overlap.iou > MATCH_IOU
    guess_type[overlap.prediction_of[found & (true_type[overlap.truth_of] == 0)]] = 0
    matched = found & (true_type[overlap.truth_of] == guess_type[overlap.prediction_of])
    match_type = true_type[overlap.truth_of[matched]]
    return Tally(
        iou_sum=_sums(match_type, overlap.iou[matched], n_types),
        truth=_counts(
            true_type[_counted(overlap.truth_optional, overlap.truth_of[matched])], n_types
        ),
        prediction=_counts(
            guess_type[_counted(overlap.prediction_optional, overlap.prediction_of[matched])],
            n_types,
        ),
    )


def _counts(types: NDArray[np.int64], n_types: int) -> NDArray[np.int64]:
    """Return how many nuclei each of the types 1 to ``n_types`` has, (n_types,)."""
    return np.bincount(types, minlength=n_types + 1)[1:]


def _sums(
    types: NDArray[np.int64], values: NDArray[np.float64], n_types: int
) -> NDArray[np.float64]:
    """Return the sum of ``values`` over the nuclei of each type, (n_types,)."""
    return np.bincount(types, values, minlength=n_types + 1)[1:].astype(np.float64)


def _counted(optional: NDArray[np.bool_], matched: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the nuclei that count: all but the optional ones that were not matched."""
    counted = ~optional
    counted[matched] = True
    return counted


def _types_of(instances: Instances, types: Labels, n_types: int, name: str) -> NDArray[np.int64]:
    """Return the type of each nucleus, (N,): the commonest of its typed pixels, or 0."""
    types = np.asarray(types)
    if types.shape != instances.index.shape or not np.issubdtype(types.dtype, np.integer):
        raise InputError(
            f"{name} holds {types.dtype} of shape {types.shape}; expected integers of shape "
            f"{instances.index.shape}; pass one type map for each instance map"
        )
    if types.min() < 0 or types.max() > n_types:
        raise InputError(
            f"{name} holds types from {types.min()} to {types.max()}; expected 0 to {n_types}; "
            "raise n_types or map the types"
        )
    votes = np.zeros((len(instances.area) + 1, n_types + 1), np.int64)
    inside = (instances.index > 0) & (types > 0)
    np.add.at(votes, (instances.index[inside], types[inside]), 1)
    return votes[1:].argmax(axis=1)

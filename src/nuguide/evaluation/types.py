"""Scores of nucleus types: is each nucleus found, and is it the right kind?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.evaluation.instances import MATCH_IOU
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


@dataclass(frozen=True)
class _Tally:
    """Counts of one image, (n_types,) each."""

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
    belongs to no type and is left out. The type of a match must agree: a nucleus that is found
    but of the wrong type is missed for one type and false for another.

    A type that occurs neither in the truth nor in the prediction has no PQ (nan) and is left out
    of ``mpq_plus``. Where the true counts do not vary R2 is 1 if all counts agree, else 0.

    References
    ----------
    Graham et al., CoNIC Challenge, Medical Image Analysis 2024.
    """
    ignores = [None] * len(truths) if ignores is None else ignores
    _check_lengths(truths, predictions, truth_types, prediction_types, ignores)
    tallies = [
        _tally(*image, n_types=n_types)
        for image in zip(truths, predictions, truth_types, prediction_types, ignores, strict=True)
    ]
    truth_counts = np.stack([tally.truth for tally in tallies])
    prediction_counts = np.stack([tally.prediction for tally in tallies])
    pq = _pooled_pq(tallies)
    r2 = _determination(truth_counts, prediction_counts)
    occurs = ~np.isnan(pq)
    return {
        **{f"pq_{k}": float(value) for k, value in enumerate(pq, start=1)},
        "mpq_plus": float(pq[occurs].mean()) if occurs.any() else float("nan"),
        **{f"r2_{k}": float(value) for k, value in enumerate(r2, start=1)},
        "r2": float(r2.mean()),
    }


def _check_lengths(*sequences: Sequence[object]) -> None:
    """Raise ``InputError`` unless all sequences are of one length above 0."""
    lengths = [len(sequence) for sequence in sequences]
    if min(lengths) == 0 or min(lengths) != max(lengths):
        raise InputError(
            f"truths, predictions, truth_types, prediction_types, ignores hold {lengths} maps; "
            "expected one each for every image, at least one image; pass equal sequences"
        )


def _tally(
    truth: Labels,
    prediction: Labels,
    truth_types: Labels,
    prediction_types: Labels,
    ignore: NDArray[np.generic] | None,
    *,
    n_types: int,
) -> _Tally:
    """Count matches and nuclei of each type in one image."""
    true, guess = instances_of(truth, "truth"), instances_of(prediction, "prediction")
    overlap = overlap_of(true, guess, ignore)
    true_type = _types_of(true, truth_types, n_types, "truth_types")
    guess_type = _types_of(guess, prediction_types, n_types, "prediction_types")
    matched = (overlap.iou > MATCH_IOU) & (
        true_type[overlap.truth_of] == guess_type[overlap.prediction_of]
    )
    match_type = true_type[overlap.truth_of[matched]]
    return _Tally(
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


def _pooled_pq(tallies: Sequence[_Tally]) -> NDArray[np.float64]:
    """Return the PQ of each type over all images, (n_types,); nan where a type never occurs.

    DQ * SQ = sum of IoU / (TP + FP/2 + FN/2), and the divisor is half of all nuclei counted.
    """
    iou_sum = np.sum([tally.iou_sum for tally in tallies], axis=0)
    half = np.sum([tally.truth + tally.prediction for tally in tallies], axis=0) / 2
    return np.divide(iou_sum, half, out=np.full(iou_sum.shape, np.nan), where=half > 0)


def _determination(truth: NDArray[np.int64], prediction: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return R2 of each column of two (n_images, n_types) tables of counts."""
    residual = ((truth - prediction) ** 2).sum(axis=0)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    unexplained = np.divide(
        residual, spread, out=(residual > 0).astype(np.float64), where=spread > 0
    )
    return 1 - unexplained

"""What a run counts and measures, against the annotation: how many nuclei, how large, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.evaluation.instances import MATCH_IOU
from nuguide.evaluation.intervals import Interval, pooled_intervals
from nuguide.evaluation.overlap import Instances, Labels, instances_of, overlap_of

DEFINITIONS = {
    "count_ratio": "predicted over true nuclei, counts pooled over all images; 1: none too many",
    "area_ratio": (
        "mean area of the predicted over that of the true nuclei among the matched ones (IoU > "
        "0.5), pooled over all images; 1: neither larger nor smaller"
    ),
    "area_deviation": (
        "mean difference in area between a matched nucleus and its true one, without its sign, "
        "over the mean true area, pooled over all images"
    ),
    "centroid_um": (
        "mean distance in um between the centroids of a matched nucleus and its true one, pooled "
        "over all images"
    ),
}
"""What is told of a set of images. None is a score: nearer to 1, or to 0, is better."""


@dataclass(frozen=True)
class Counted:
    """What one image adds.

    Attributes
    ----------
    truth, prediction : int
        Nuclei that count.
    matched : int
        Pairs of IoU > 0.5.
    truth_um2, prediction_um2 : float
        Total area of the true and of the predicted nuclei of these pairs, um2.
    deviation_um2 : float
        Sum over the pairs of the difference in area, without its sign, um2.
    distance_um : float
        Sum over the pairs of the distance between centroids, um.
    """

    truth: int
    prediction: int
    matched: int
    truth_um2: float
    prediction_um2: float
    deviation_um2: float
    distance_um: float


def counted(
    truth: Labels, prediction: Labels, mpp: float, ignore: NDArray[np.generic] | None = None
) -> Counted:
    """Count and measure the nuclei of one image, true and predicted.

    Parameters
    ----------
    truth, prediction, ignore
        As in ``nuguide.evaluation.score.score``.
    mpp : float
        um/px of the maps.

    Raises
    ------
    InputError
        If a map is not (H, W) of integers from 0 up, the shapes differ, or no pixel is scored.

    Notes
    -----
    A nucleus that is mostly under the ignore mask counts only where it is matched, as it does in
    the scores; areas are of scored pixels, centroids of whole nuclei.
    """
    true, guess = instances_of(truth, "truth"), instances_of(prediction, "prediction")
    overlap = overlap_of(true, guess, ignore)
    pairs = overlap.iou > MATCH_IOU
    of_truth, of_prediction = overlap.truth_of[pairs], overlap.prediction_of[pairs]
    true_um2, guess_um2 = (
        areas * mpp**2
        for areas in (overlap.truth_area[of_truth], overlap.prediction_area[of_prediction])
    )
    apart = _centroids(true)[of_truth] - _centroids(guess)[of_prediction]
    return Counted(
        truth=_number(overlap.truth_optional, of_truth),
        prediction=_number(overlap.prediction_optional, of_prediction),
        matched=len(of_truth),
        truth_um2=float(true_um2.sum()),
        prediction_um2=float(guess_um2.sum()),
        deviation_um2=float(np.abs(guess_um2 - true_um2).sum()),
        distance_um=float(np.hypot(*apart.T).sum() * mpp),
    )


def agreement_intervals(
    images: Sequence[Counted], origins: Sequence[str], seed: int = 0
) -> dict[str, Interval]:
    """Return every value of ``DEFINITIONS`` that is a number, with its 95 % bootstrap interval.

    Images, or origins with all their images, are drawn again and pooled anew.

    Parameters
    ----------
    images : sequence of Counted
        One per image.
    origins : sequence of str
        Patient or slide of each image, see ``bootstrap_mean``.
    seed : int
        Of the draws.

    Notes
    -----
    Pooled, since a ratio of an image with few nuclei, or none, says little or does not exist.
    Without a true nucleus there is no ratio of counts, without a match none of the others.
    """
    additive = np.array(
        [
            (
                each.truth,
                each.prediction,
                each.matched,
                each.truth_um2,
                each.prediction_um2,
                each.deviation_um2,
                each.distance_um,
            )
            for each in images
        ],
        np.float64,
    )
    return pooled_intervals(additive, _from_totals, origins, seed)


def _from_totals(totals: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return every value, (r,), from r rows of totals over images."""
    truth, prediction, matched, truth_um2, prediction_um2, deviation_um2, distance_um = totals.T
    return {
        "count_ratio": _over(prediction, truth),
        "area_ratio": _over(prediction_um2, truth_um2),
        "area_deviation": _over(deviation_um2, truth_um2),
        "centroid_um": _over(distance_um, matched),
    }


def _over(values: NDArray[np.float64], divisor: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, divisor, out=np.full(values.shape, np.nan), where=divisor > 0)


def _number(optional: NDArray[np.bool_], matched: NDArray[np.int64]) -> int:
    """Return how many nuclei count: all but the optional ones that were not matched."""
    return int((~optional).sum() + optional[matched].sum())


def _centroids(instances: Instances) -> NDArray[np.float64]:
    """Return the mean of each nucleus' pixels, (N, 2), px, (y, x)."""
    inside = np.nonzero(instances.index)
    number = instances.index[inside] - 1
    sums = [np.bincount(number, along, len(instances.area)) for along in inside]
    return np.stack(sums, axis=1) / instances.area[:, None]

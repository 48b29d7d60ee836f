"""What a nucleus' confidence is worth: how often a true one matches, and the fit of that."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.optimize import minimize

from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation.instances import MATCH_IOU
from nuguide.evaluation.intervals import LEVEL, Interval, units_of
from nuguide.evaluation.overlap import instances_of, overlap_of
from nuguide.models.calibration import Calibration, log_odds
from nuguide.models.model import Model
from nuguide.segmentation.run import segment_array

BINS = 10
_RESAMPLES = 1000
_FEWEST = 50
"""Nuclei of either kind below which nothing is fitted."""


@dataclass(frozen=True)
class Judged:
    """Predicted nuclei, and what the truth says of them.

    Attributes
    ----------
    confidence : ndarray
        (N,) float64, 0..1.
    matched : ndarray
        (N,) bool, whether a true nucleus matches (IoU > 0.5). Nuclei that lie mostly where the
        annotation is ambiguous are left out.
    image : ndarray
        (N,) int, the number of each one's image.
    unit : ndarray
        (N,) int, the number of what was drawn with it when the data was gathered: its patient, its
        slide where that is unknown, else its image.
    """

    confidence: NDArray[np.float64]
    matched: NDArray[np.bool_]
    image: NDArray[np.int64]
    unit: NDArray[np.int64]

    @property
    def n_images(self) -> int:
        """Images that have a predicted nucleus."""
        return np.unique(self.image).size


def judged(model: Model, samples: Iterable[Sample]) -> Judged:
    """Segment annotated images and ask of each nucleus whether a true one matches.

    Raises
    ------
    InputError
        If there is no image, or no nucleus is found in any of them.
    """
    parts, origins = [], []
    for number, sample in enumerate(samples):
        parts.append(_judged(model, sample, number))
        origins.append(sample.origin)
    if not parts:
        raise InputError("there is no image to judge by; expected one at least; give some")
    confidence, matched, image = (np.concatenate(each) for each in zip(*parts, strict=True))
    if not confidence.size:
        raise InputError(
            f"{model.card.name} finds no nucleus in these images; expected some; give others"
        )
    return Judged(confidence, matched, image, units_of(origins)[image])


def _judged(
    model: Model, sample: Sample, number: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    result = segment_array(sample.image, sample.mpp, model)
    overlap = overlap_of(instances_of(sample.labels), instances_of(result.labels), sample.ignore)
    matched = np.zeros(len(overlap.prediction_area), np.bool_)
    matched[overlap.prediction_of[overlap.iou > MATCH_IOU]] = True
    counted = ~overlap.prediction_optional | matched
    # Row i of the table is label i + 1; one that neighbours cover has no pixel.
    rows = np.flatnonzero(np.bincount(result.labels.ravel())[1:])
    confidence = result.nuclei["confidence"].to_numpy()[rows][counted]
    return confidence, matched[counted], np.full(confidence.size, number)


def fitted(seen: Judged, data: str) -> Calibration:
    """Fit a calibration by maximum likelihood.

    Parameters
    ----------
    seen : Judged
        Of images that the network was not fitted on.
    data : str
        What they are, for the card.

    Raises
    ------
    InputError
        If there are too few nuclei that match, or too few that do not, or a greater confidence
        does not go with more matches.

    Notes
    -----
    The targets are Platt's, a little off 0 and 1, which keeps the fit finite.
    """
    hits, misses = int(seen.matched.sum()), int((~seen.matched).sum())
    if min(hits, misses) < _FEWEST:
        raise InputError(
            f"{hits} nuclei match and {misses} do not; expected {_FEWEST} of each at least; give "
            "more images"
        )
    target = np.where(seen.matched, (hits + 1) / (hits + 2), 1 / (misses + 2))
    odds = log_odds(seen.confidence)

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = at[0] * odds + at[1]
        error = 1 / (1 + np.exp(-score)) - target
        value = np.logaddexp(0, score) - target * score
        return float(value.mean()), np.array([(error * odds).mean(), error.mean()])

    slope, intercept = minimize(loss, [1.0, 0.0], jac=True, method="BFGS").x
    if slope <= 0:
        raise InputError(
            "nuclei of greater confidence match less often here; expected more often; give images "
            "like those that the model was trained on"
        )
    return Calibration(
        slope=round(float(slope), 4),
        intercept=round(float(intercept), 4),
        n=seen.confidence.size,
        data=data,
    )


@dataclass(frozen=True)
class Bin:
    """A tenth of the nuclei, of similar probability.

    Attributes
    ----------
    said, found : float
        Mean probability, and the share that matches.
    n : int
        Nuclei.
    """

    said: float
    found: float
    n: int


def bins(probability: NDArray[np.float64], matched: NDArray[np.bool_]) -> list[Bin]:
    """Sort nuclei by probability and part them into tenths."""
    order = np.argsort(probability, kind="stable")
    return [
        Bin(float(probability[part].mean()), float(matched[part].mean()), part.size)
        for part in np.array_split(order, BINS)
        if part.size
    ]


def calibration_error(probability: NDArray[np.float64], seen: Judged, seed: int = 0) -> Interval:
    """Return the expected calibration error: the mean difference of said and found over ``bins``.

    Its interval draws the images again, or patients and slides with all their images. Of few
    nuclei even a perfect calibration has an error above 0.

    Notes
    -----
    What is drawn again scatters about the sample as the sample does about the truth, and a mean of
    absolute differences rises by that; so how far the draws lie above the sample in the mean is
    taken off both ends of the interval.

    References
    ----------
    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning,
    AAAI 2015; Nguyen and O'Connor, EMNLP 2015 (bins of equal counts).
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(seen.unit == number) for number in np.unique(seen.unit)]
    drawn = []
    for _ in range(_RESAMPLES):
        picked = random.integers(len(members), size=len(members))
        rows = np.concatenate([members[each] for each in picked])
        drawn.append(_error(probability[rows], seen.matched[rows]))
    tail = 50 * (1 - LEVEL)
    error = _error(probability, seen.matched)
    above = float(np.mean(drawn)) - error
    low, high = np.percentile(drawn, [tail, 100 - tail]) - above
    return Interval(error, max(0.0, float(low)), float(high), seen.n_images)


def _error(probability: NDArray[np.float64], matched: NDArray[np.bool_]) -> float:
    found = bins(probability, matched)
    return sum(abs(each.said - each.found) * each.n for each in found) / probability.size


def brier(probability: NDArray[np.float64], matched: NDArray[np.bool_]) -> float:
    """Return the mean squared difference of probability and outcome (Brier 1950)."""
    return float(((probability - matched) ** 2).mean())


@dataclass(frozen=True)
class Reliability:
    """How good a confidence, or what was made of it, is as a probability.

    Attributes
    ----------
    name : str
        What it is called in print.
    error : Interval
        See ``calibration_error``.
    brier : float
        See ``brier``.
    bins : list of Bin
        See ``bins``.
    """

    name: str
    error: Interval
    brier: float
    bins: list[Bin]


def reliability(seen: Judged, calibration: Calibration | None) -> list[Reliability]:
    """Measure the confidence as it is and, where there is a calibration, what it is made into."""
    said = {"confidence": seen.confidence}
    if calibration is not None:
        said["match probability"] = calibration.probability(seen.confidence)
    return [
        Reliability(
            name,
            calibration_error(values, seen),
            brier(values, seen.matched),
            bins(values, seen.matched),
        )
        for name, values in said.items()
    ]


def headline(model: str, seen: Judged) -> str:
    """Return one line: how many nuclei there are and how many of them match."""
    return (
        f"{model}: {seen.confidence.size:,} nuclei in {seen.n_images} images, of which "
        f"{100 * seen.matched.mean():.1f} % match a true one (IoU > {MATCH_IOU:g})"
    )


def tables(found: list[Reliability]) -> list[Table]:
    """Return the errors, and for the last of ``found`` what was said and found by tenths."""
    errors = Table("", "calibration error", "95 % interval", "Brier", box=None, pad_edge=False)
    for each in found:
        between = f"{each.error.low:.3f} to {each.error.high:.3f}"
        errors.add_row(each.name, f"{each.error.mean:.3f}", between, f"{each.brier:.3f}")
    tenths = Table(found[-1].name, "share that matches", "nuclei", box=None, pad_edge=False)
    for each_bin in found[-1].bins:
        tenths.add_row(f"{each_bin.said:.3f}", f"{each_bin.found:.3f}", f"{each_bin.n:,}")
    return [errors, tenths]

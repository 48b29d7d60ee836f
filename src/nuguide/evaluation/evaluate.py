"""A data set scored, image by image: samples and a predictor in, scores out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.errors import DataSetError, InputError
from nuguide.evaluation.intervals import bootstrap_mean
from nuguide.evaluation.overlap import Labels
from nuguide.evaluation.score import DEFINITIONS, score

Predictor = Callable[[NDArray[np.uint8], float], Labels]
"""From RGB, (H, W, 3) uint8, and its um/px to a label map of the same (H, W)."""

UNMASKED = "_unmasked"
"""Ending of the scores that take no notice of the ignore masks."""


@dataclass(frozen=True)
class Summary:
    """One score over all images.

    Attributes
    ----------
    mean : float
        Plain mean over the images.
    std : float
        Standard deviation over the images (divisor n - 1; 0 for one image).
    low, high : float
        Bootstrap 95 % percentile interval of the mean, images drawn again.
    n : int
        Number of images.
    definition : str
        What the score is and how it is averaged.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int
    definition: str


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image, by name."""

    name: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes
    ----------
    summaries : dict of str to Summary
        By score name.
    images : tuple of ImageScores
        In the order of the data set.
    model, data, split : str
        What was scored, on what.
    """

    summaries: dict[str, Summary]
    images: tuple[ImageScores, ...]
    model: str
    data: str
    split: str


def evaluate(
    predict: Predictor, samples: Iterable[Sample], *, model: str, data: str, split: str
) -> Scores:
    """Score a predictor on annotated images, at the annotation's own resolution.

    Parameters
    ----------
    predict : Predictor
        Called once an image.
    samples : iterable of Sample
        Gone through once, one image in memory at a time.
    model, data, split : str
        Names for the record.

    Returns
    -------
    Scores
        Of every name in ``DEFINITIONS``. If an image has an ignore mask each score comes twice:
        with the masks honoured under its own name, and without as ``<name>_unmasked``.

    Raises
    ------
    DataSetError
        If there is no sample.
    InputError
        If an image cannot be scored; the message names it.
    """
    images: list[ImageScores] = []
    masked = False
    for sample in samples:
        masked = masked or sample.ignore is not None
        images.append(ImageScores(sample.name, _scores_of(predict, sample)))
    if not images:
        raise DataSetError(
            f"{data} has no image in split {split}; expected at least one; choose another --split"
        )
    if not masked:
        images = [
            ImageScores(image.name, {name: image.scores[name] for name in DEFINITIONS})
            for image in images
        ]
    return Scores(_summaries(images), tuple(images), model, data, split)


def _scores_of(predict: Predictor, sample: Sample) -> dict[str, float]:
    """Predict and score one sample, with its ignore mask and without."""
    prediction = predict(sample.image, sample.mpp)
    try:
        honoured = score(sample.labels, prediction, sample.ignore)
        unmasked = honoured if sample.ignore is None else score(sample.labels, prediction)
    except InputError as error:
        raise InputError(f"{sample.name}: {error}") from error
    return honoured | {name + UNMASKED: value for name, value in unmasked.items()}


def _summaries(images: list[ImageScores]) -> dict[str, Summary]:
    """Return the mean, spread and interval of each score over the images."""
    summaries = {}
    for name in images[0].scores:
        values = np.array([image.scores[name] for image in images])
        interval = bootstrap_mean(values)
        summaries[name] = Summary(
            mean=interval.mean,
            std=float(values.std(ddof=1)) if interval.n > 1 else 0.0,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            definition=definition_of(name),
        )
    return summaries


def definition_of(name: str) -> str:
    """Return the definition of a score over images, with its averaging rule."""
    plain = name.removesuffix(UNMASKED)
    note = "" if plain == name else "; ambiguous areas scored like the rest"
    return f"{DEFINITIONS[plain]}{note}; mean over images"

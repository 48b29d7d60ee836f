"""A data set scored, image by image: samples and a predictor in, scores out."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import add_to_digest
from nuguide.errors import DataSetError, InputError
from nuguide.evaluation import agreement, types
from nuguide.evaluation.agreement import Counted, agreement_intervals, counted
from nuguide.evaluation.intervals import Interval, bootstrap_mean
from nuguide.evaluation.prediction import Prediction, Predictor
from nuguide.evaluation.protocols import PROTOCOLS, UNMASKED, Protocol, ProtocolName
from nuguide.evaluation.record import ImageScores, Scores, Summary
from nuguide.evaluation.types import Tally, tally, type_intervals

Watcher = Callable[[Sample, Prediction, ImageScores], None]
"""Shown each image as it was scored, its prediction and its scores."""


def evaluate(
    predict: Predictor,
    samples: Iterable[Sample],
    *,
    model: str,
    data: str,
    split: str,
    protocol: ProtocolName = "standard",
    model_sha256: str = "",
    classes: Sequence[str] = (),
    watch: Watcher | None = None,
) -> Scores:
    """Score a predictor on annotated images.

    Parameters
    ----------
    predict : Predictor
        Called once an image.
    samples : iterable of Sample
        Gone through once, one image in memory at a time.
    model, data, split, model_sha256 : str
        Names for the record.
    protocol : ProtocolName
        By which rules; ``standard`` scores at the annotation's own resolution.
    classes : sequence of str
        Types of nuclei that the predictor tells apart; the data set numbers them from 1 in this
        order.
    watch : callable, optional
        See ``Watcher``.

    Returns
    -------
    Scores
        Of every name of the protocol. If an image has an ignore mask each score comes twice: with
        the masks honoured under its own name, and without as ``<name>_unmasked`` (not where a part
        of the image alone is annotated). What is pooled
        over the images (with the masks honoured) follows: how counts and sizes agree with the
        annotation, where the protocol tells nuclei apart, and scores of types, where there are two
        classes or more and the samples have types.

    Raises
    ------
    DataSetError
        If there is no sample, or only some of them have types.
    InputError
        If an image cannot be scored; the message names it.
    """
    rules = PROTOCOLS[protocol]
    images: list[ImageScores] = []
    counts: list[Counted] = []
    tallies: list[Tally] = []
    digest = hashlib.sha256()
    for sample in samples:
        add_to_digest(digest, sample)
        try:
            seen = rules.view(sample)
            prediction = _wrapped(predict(seen.image, seen.mpp))
            scored = rules.score(seen, prediction.labels)
            images.append(ImageScores(seen.name, scored, seen.origin))
            if rules.nuclei:
                counts.append(counted(seen.labels, prediction.labels, seen.mpp, seen.ignore))
            tallies += _tallies(seen, prediction, classes)
        except InputError as error:
            raise InputError(f"{sample.name}: {error}") from error
        if tallies and len(tallies) < len(images):
            raise DataSetError(
                f"{data} has types in {len(tallies)} of the first {len(images)} images; expected "
                "them in all or none; complete the data set"
            )
        if watch is not None:
            watch(seen, prediction, images[-1])
    if not images:
        raise DataSetError(
            f"{data} has no image in split {split}; expected at least one; choose another --split"
        )
    images = _alike(images)
    return Scores(
        summaries=_summaries(images, rules)
        | _agreement_summaries(images, counts)
        | _type_summaries(images, tallies, classes),
        images=tuple(images),
        model=model,
        data=data,
        split=split,
        protocol=protocol,
        model_sha256=model_sha256,
        data_sha256=digest.hexdigest(),
    )


def definition_of(name: str, protocol: ProtocolName = "standard") -> str:
    """Return the definition of a score over images, with its averaging rule."""
    return PROTOCOLS[protocol].definition_of(name)


def _wrapped(found: object) -> Prediction:
    return found if isinstance(found, Prediction) else Prediction(np.asarray(found))


def _tallies(seen: Sample, prediction: Prediction, classes: Sequence[str]) -> list[Tally]:
    """Return the tally of one image; none where there is no type to tell apart.

    Raises
    ------
    InputError
        If the annotation has more types than the model, as an unnamed list of types may.
    """
    if len(classes) < 2 or seen.types is None or prediction.types is None:
        return []
    if seen.types.max(initial=0) > len(classes):
        raise InputError(
            f"the annotation has type {seen.types.max()}, and the model tells {len(classes)} "
            f"apart: {', '.join(classes)}; expected these, numbered from 1 in this order; number "
            "them so, or score the nuclei alone, without the data set's types"
        )
    sides = (seen.labels, prediction.labels, seen.types, prediction.types)
    return [tally(*sides, seen.ignore, n_types=len(classes))]


def _alike(images: list[ImageScores]) -> list[ImageScores]:
    """Give every image the same scores: without an ignore mask both ways are one."""
    names = max((image.scores for image in images), key=len)
    return [
        replace(
            image,
            scores={
                name: image.scores.get(name, image.scores[name.removesuffix(UNMASKED)])
                for name in names
            },
        )
        for image in images
    ]


def _summaries(images: list[ImageScores], rules: Protocol) -> dict[str, Summary]:
    """Return the mean, spread and interval of each score over the images."""
    summaries = {}
    for name in images[0].scores:
        values = np.array([image.scores[name] for image in images])
        interval = bootstrap_mean(values, origins=[image.origin for image in images])
        summaries[name] = Summary(
            mean=interval.mean,
            std=float(values.std(ddof=1)) if interval.n > 1 else 0.0,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            definition=rules.definition_of(name),
        )
    return summaries


def _agreement_summaries(images: list[ImageScores], counts: list[Counted]) -> dict[str, Summary]:
    """Return how counts and sizes agree with the annotation; empty where none were taken."""
    if not counts:
        return {}
    intervals = agreement_intervals(counts, [image.origin for image in images])
    return {name: _pooled(found, agreement.DEFINITIONS[name]) for name, found in intervals.items()}


def _type_summaries(
    images: list[ImageScores], tallies: list[Tally], classes: Sequence[str]
) -> dict[str, Summary]:
    """Return the scores of types, which are pooled over the images; empty without tallies."""
    if not tallies:
        return {}
    intervals = type_intervals(tallies, [image.origin for image in images])
    return {
        name: _pooled(found, types.definition_of(name, classes))
        for name, found in intervals.items()
    }


def _pooled(found: Interval, definition: str) -> Summary:
    """Return the summary of a value that no single image has."""
    return Summary(found.mean, None, found.low, found.high, found.n, definition)

"""The rules by which images are scored: our own, and those of the published evaluation.

Their numbers mean different things, and never stand in one table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation import pixels
from nuguide.evaluation.overlap import Labels, instances_of, overlap_of
from nuguide.evaluation.score import DEFINITIONS, score

RELEASED_SIDE_PX = 256
RELEASED_THRESHOLD = 150
"""Of the resized mask, which is 255 inside nuclei: greater is nucleus."""

UNMASKED = "_unmasked"
"""Ending of the scores that take no notice of the ignore masks."""

ProtocolName = Literal["standard", "released"]


@dataclass(frozen=True)
class Protocol:
    """A set of rules.

    Attributes
    ----------
    description : str
        One line for whoever reads the scores.
    names : tuple of str
        Its scores.
    rule : str
        What follows a score's own definition.
    view : callable
        From a sample to what is predicted and scored in its place.
    score : callable
        From that and a prediction to the scores of one image.
    nuclei : bool
        Whether nuclei are told apart, so that their number and size can be compared too.
    """

    description: str
    names: tuple[str, ...]
    rule: str
    view: Callable[[Sample], Sample]
    score: Callable[[Sample, Labels], dict[str, float]]
    nuclei: bool

    def definition_of(self, name: str) -> str:
        """Return the definition of a score over images, with its averaging rule."""
        plain = name.removesuffix(UNMASKED)
        note = "" if plain == name else "; ambiguous areas scored like the rest"
        return f"{DEFINITIONS[plain]}{note}{self.rule}; mean over images"


def _as_annotated(sample: Sample) -> Sample:
    return sample


def _standard_scores(sample: Sample, prediction: Labels) -> dict[str, float]:
    honoured = score(sample.labels, prediction, sample.ignore)
    if sample.ignore is None or sample.partial:
        return honoured
    unmasked = score(sample.labels, prediction)
    return honoured | {name + UNMASKED: value for name, value in unmasked.items()}


def _resized_whole(sample: Sample) -> Sample:
    """Return the sample as the published evaluation sees it: 256 x 256 px, one mask, no classes."""
    height, width = sample.labels.shape
    if height != width:
        raise InputError(
            f"the image is {height} x {width} px; expected a square image, which the protocol "
            "released resizes whole; score with --protocol standard"
        )
    mask = _resized(np.where(sample.labels > 0, np.uint8(255), np.uint8(0)))
    return replace(
        sample,
        image=_resized(sample.image),
        labels=(mask > RELEASED_THRESHOLD).astype(np.int32),
        mpp=sample.mpp * width / RELEASED_SIDE_PX,
        types=None,
        ignore=None,
    )


def _resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (RELEASED_SIDE_PX, RELEASED_SIDE_PX)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


_RELEASED_NAMES = ("dice_weighted", "iou_weighted")


def _released_scores(sample: Sample, prediction: Labels) -> dict[str, float]:
    overlap = overlap_of(
        instances_of(sample.labels, "truth"), instances_of(prediction, "prediction")
    )
    every = pixels.pixel_scores(overlap)
    return {name: every[name] for name in _RELEASED_NAMES}


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "standard": Protocol(
        description="scored at the annotation's own resolution; ambiguous areas not scored",
        names=tuple(DEFINITIONS),
        rule="",
        view=_as_annotated,
        score=_standard_scores,
        nuclei=True,
    ),
    "released": Protocol(
        description=(
            "the evaluation released with the MICCAI 2024 method: image and mask resized whole to "
            "256 x 256 px (cubic) whatever their um/px, the mask thresholded at 150 of 255, "
            "weighted scores; not to be compared with scores of the protocol standard"
        ),
        names=_RELEASED_NAMES,
        rule=f"; image and mask resized whole to {RELEASED_SIDE_PX} x {RELEASED_SIDE_PX} px",
        view=_resized_whole,
        score=_released_scores,
        nuclei=False,
    ),
}

"""Controls of guidance: the same network with tokens that know nothing of its image.

A network that segments as well with zeros, or with another image's tokens, does not use its guide.
A network *trained* with them is one that never had a guide: with zeros it has the capacity of the
guided one and nothing else of it; with another image's tokens it could still learn each map by
heart, for they stay the same through all of the training.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.resampling import resampled
from nuguide.errors import InputError
from nuguide.evaluation.prediction import Predictor
from nuguide.guides.base import Embedding, Guide
from nuguide.guides.controls import Control, derangement
from nuguide.guides.fields import encode_extent
from nuguide.models.model import Model
from nuguide.segmentation.run import segment_array


class ZeroedGuide:
    """Hands out zeros in the shape of another guide's tokens."""

    def __init__(self, guide: Guide):
        self.guide = guide
        self.name, self.sha256, self.field_um = guide.name, guide.sha256, guide.field_um

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode ``rgb`` and forget it."""
        embedding = self.guide.encode(rgb, mpp)
        return replace(embedding, values=torch.zeros_like(embedding.values))


class ShuffledGuide:
    """Hands out the tokens of another image, whatever it is shown, in the shape of its own."""

    field_um = None  # it is asked for a whole extent, and encodes one as large of the other image

    def __init__(self, guide: Guide, other: Sample):
        self.guide, self.other = guide, other
        self.name, self.sha256 = guide.name, guide.sha256

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode the other image, mirrored on where it is smaller, in place of (1, H, W, 3)."""
        other = resampled(self.other, mpp).image
        height, width = rgb.shape[1:3]
        below, right = (max(0, a - b) for a, b in zip((height, width), other.shape, strict=False))
        padded = np.pad(other, ((0, below), (0, right), (0, 0)), mode="symmetric")
        return encode_extent(self.guide, np.ascontiguousarray(padded[:height, :width]), mpp)


def under_control(
    guide: Guide, control: Control, samples: Sequence[Sample], seed: int | None = None
) -> list[Guide]:
    """Return the guide that each sample is given under a control.

    Parameters
    ----------
    guide : Guide
        The guide itself.
    control : Control
        ``guided`` as it is, ``zeroed``, or ``shuffled``: see ``derangement``.
    samples : sequence of Sample
        All images that will be asked for.
    seed : int, optional
        Of the derangement.

    Raises
    ------
    InputError
        If there are no two images to shuffle.
    """
    if control == "guided":
        return [guide] * len(samples)
    if control == "zeroed":
        return [ZeroedGuide(guide)] * len(samples)
    others = derangement(len(samples), seed)
    return [ShuffledGuide(guide, samples[other]) for other in others]


def controlled(model: Model, control: Control, samples: Sequence[Sample]) -> Predictor:
    """Return a predictor that runs ``model`` under a control.

    Parameters
    ----------
    model : Model
        With a guide.
    control : Control
        See ``under_control``; shuffled, each image gets the tokens of the one that follows it.
    samples : sequence of Sample
        All images that will be asked for.

    Raises
    ------
    InputError
        If the model has no guide, or there are no two images to shuffle.
    """
    if model.guide is None:
        raise InputError(f"{model.card.name} has no guide; expected a guided model")
    guides = under_control(model.guide, control, samples)
    guide_of = {
        sample.image.tobytes(): guide for sample, guide in zip(samples, guides, strict=True)
    }

    def predict(rgb: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        used = replace(model, guide=guide_of[rgb.tobytes()])
        return segment_array(rgb, mpp, used).labels

    return predict

"""Controls of guidance: the same network with tokens that know nothing of its image.

A network that segments as well with zeros, or with another image's tokens, does not use its guide.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation.evaluate import Predictor
from nuguide.guides.base import Embedding, Guide
from nuguide.models.model import Model
from nuguide.segmentation.run import segment_array

Control = Literal["guided", "zeroed", "shuffled"]


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
    """Hands out the tokens of another image, (H, W, 3) uint8 at any um/px, in the same shape."""

    def __init__(self, guide: Guide, other: NDArray[np.uint8]):
        self.guide, self.other = guide, other
        self.name, self.sha256, self.field_um = guide.name, guide.sha256, guide.field_um

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode the other image's pixels, mirrored on where it is smaller, in place of ``rgb``."""
        height, width = rgb.shape[1:3]
        below, right = (
            max(0, a - b) for a, b in zip((height, width), self.other.shape, strict=False)
        )
        padded = np.pad(self.other, ((0, below), (0, right), (0, 0)), mode="symmetric")
        stand_in = np.broadcast_to(padded[:height, :width], rgb.shape)
        return self.guide.encode(np.ascontiguousarray(stand_in), mpp)


def controlled(model: Model, control: Control, samples: Sequence[Sample]) -> Predictor:
    """Return a predictor that runs ``model`` under a control.

    Parameters
    ----------
    model : Model
        With a guide.
    control : Control
        ``guided`` as it is, ``zeroed``, or ``shuffled``: each image gets the tokens of the one
        that follows it in ``samples``, the last those of the first.
    samples : sequence of Sample
        All images that will be asked for.

    Raises
    ------
    InputError
        If the model has no guide, or there are no two images to shuffle.
    """
    guide = model.guide
    if guide is None:
        raise InputError(f"{model.card.name} has no guide; expected a guided model")
    if control == "shuffled" and len(samples) < 2:
        raise InputError("one image cannot be shuffled; expected two or more")
    followers = {
        sample.image.tobytes(): other.image
        for sample, other in zip(samples, [*samples[1:], samples[0]], strict=True)
    }

    def predict(rgb: NDArray[np.uint8], mpp: float) -> NDArray[np.int32]:
        used: Guide = guide
        if control == "zeroed":
            used = ZeroedGuide(guide)
        elif control == "shuffled":
            used = ShuffledGuide(guide, followers[rgb.tobytes()])
        return segment_array(rgb, mpp, replace(model, guide=used)).labels

    return predict

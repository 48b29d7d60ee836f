"""What is scored: a label map, and the type of each nucleus where a model tells them apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.evaluation.overlap import Labels
from nuguide.evaluation.protocols import ProtocolName
from nuguide.models.model import Model
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.result import Result
from nuguide.segmentation.run import segment_array


@dataclass(frozen=True)
class Prediction:
    """A predicted label map.

    Attributes
    ----------
    labels : ndarray
        (H, W) integers, 0 = background.
    types : ndarray or None
        (H, W) type of each pixel's nucleus: 1 for the first class of the model's card, 2 for the
        second; 0 = background or no type. None where the model does not tell types apart.
    """

    labels: Labels
    types: Labels | None = None


Predictor = Callable[[NDArray[np.uint8], float], Labels | Prediction]
"""From RGB, (H, W, 3) uint8, and its um/px to nuclei of the same (H, W)."""


def predictor(model: Model, protocol: ProtocolName = "standard") -> Predictor:
    """Return what predicts with ``model`` as a protocol wants it.

    Under ``standard`` the model segments as always. Under ``released`` its network sees the 256 px
    as they are, whatever their um/px, and the prediction is the argmax of nucleus and background.
    """
    if protocol == "standard":
        return lambda rgb, mpp: _prediction(segment_array(rgb, mpp, model))
    return lambda rgb, mpp: (predict_maps(model, rgb).foreground > 0.5).astype(np.int32)


def _prediction(result: Result) -> Prediction:
    if not result.card.types:
        return Prediction(result.labels)
    number = {name: k for k, name in enumerate(result.card.types, start=1)}
    # Row i of the table is label i + 1; a nucleus may have no type.
    of_label = [0, *(number.get(name, 0) for name in result.nuclei["type"].to_pylist())]
    return Prediction(result.labels, np.array(of_label, np.int32)[result.labels])

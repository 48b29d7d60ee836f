"""The one form in which every data set hands out its annotated images."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["fit", "validation", "train", "test", "all"]
"""Part of a data set.

``train`` and ``test`` are a data set's official parts; ``fit`` and ``validation`` divide ``train``.
"""


@dataclass(frozen=True)
class Sample:
    """An annotated image.

    Attributes
    ----------
    name : str
        Unique within its data set.
    image : ndarray
        (H, W, 3) uint8 RGB.
    labels : ndarray
        (H, W) int32 instance map, 0 = background.
    mpp : float
        um/px of image and labels.
    organ, patient : str
        Empty where unknown.
    source : str
        Slide or larger image that it was cut from; empty where unknown.
    mpp_estimated : bool
        True where um/px is an estimate and was not recorded.
    types : ndarray or None
        (H, W) uint8 class of each pixel, 0 = background.
    ignore : ndarray or None
        (H, W) bool, True where the annotation is ambiguous.
    from_binary : bool
        True where the instances are the connected parts of a binary mask, so that nuclei that
        touch are one.
    partial : bool
        True where a part alone is annotated: what is under ``ignore`` has no annotation at all.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    mpp: float
    organ: str = ""
    patient: str = ""
    types: NDArray[np.uint8] | None = None
    ignore: NDArray[np.bool_] | None = None
    source: str = ""
    mpp_estimated: bool = False
    from_binary: bool = False
    partial: bool = False

    @property
    def origin(self) -> str:
        """The patient, or where that is unknown the slide; empty where both are."""
        return self.patient or self.source

"""Whole annotated images at the um/px a network works at."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample


def resampled(sample: Sample, mpp: float) -> Sample:
    """Return the sample at ``mpp`` um/px: colours area-averaged, all else by nearest neighbour."""
    scale = sample.mpp / mpp
    height, width = (max(1, round(side * scale)) for side in sample.labels.shape)
    image = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA)

    def nearest(values: NDArray[Any]) -> NDArray[Any]:
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    types, ignore = sample.types, sample.ignore
    return replace(
        sample,
        image=np.asarray(image, np.uint8),
        labels=nearest(sample.labels),
        types=None if types is None else nearest(types),
        ignore=None if ignore is None else nearest(ignore.astype(np.uint8)).astype(np.bool_),
        mpp=mpp,
    )

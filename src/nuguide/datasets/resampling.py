"""Whole annotated images at the um/px a network works at."""

from dataclasses import replace

import cv2
import numpy as np

from nuguide.datasets.base import Sample


def resampled(sample: Sample, mpp: float) -> Sample:
    """Return the sample at ``mpp`` um/px: colours area-averaged, labels by nearest neighbour."""
    scale = sample.mpp / mpp
    height, width = (max(1, round(side * scale)) for side in sample.labels.shape)
    image = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(
        sample.labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return replace(
        sample, image=np.asarray(image, np.uint8), labels=labels.astype(np.int32), mpp=mpp
    )

"""What the heads learn, made from an instance map."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def normalised_distance(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the distance to a nucleus' border divided by the nucleus' largest.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 instance map, 0 = background.

    Returns
    -------
    ndarray
        (H, W) float32 in 0..1: 0 outside, 1 at a nucleus' innermost pixel.
    """
    interior = labels > 0
    # Between two touching nuclei one pixel on either side counts as border.
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        before = [slice(None), slice(None)]
        after = [slice(None), slice(None)]
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        interior[tuple(before)] &= ~step
        interior[tuple(after)] &= ~step
    distance = cv2.distanceTransform(interior.astype(np.uint8), cv2.DIST_L2, 5)
    distance = np.where(labels > 0, distance + 0.5, 0).astype(np.float32)
    largest = ndimage.maximum(distance, labels, np.arange(labels.max() + 1))
    scale = np.maximum(np.asarray(largest, np.float32), 1e-6)
    return np.where(labels > 0, distance / scale[labels], 0).astype(np.float32)

"""Flooding: which peak's water reaches a pixel first, from the top of a landscape down."""

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled


def flooded(
    landscape: NDArray[np.float32], peaks: NDArray[np.int32], mask: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Give every pixel of a mask the number of the peak that floods it: a watershed.

    Parameters
    ----------
    landscape : ndarray
        (H, W) float32, flooded from its peaks down.
    peaks : ndarray
        (H, W) int32: the numbers of the peaks, 0 elsewhere.
    mask : ndarray
        (H, W) bool: where water flows, over the edges of pixels.

    Returns
    -------
    ndarray
        (H, W) int32; 0 outside the mask, and where no peak's water comes.

    Notes
    -----
    The function of ``skimage.segmentation.watershed(-landscape, peaks, mask=mask)``, in whose
    place it stands: there a heap finds the next pixel, here all are sorted once. Of pixels of one
    height the first one in the image comes first.
    """
    inside = np.flatnonzero(mask)
    # One whole number a pixel, that sorts by height from the top and then by place.
    bits = landscape.ravel()[inside].view(np.int32)
    rank = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))  # whole numbers in the order of the floats
    order = np.sort((-rank.astype(np.int64) << 32) + inside) & 0xFFFFFFFF
    return _flow(landscape, np.where(mask, peaks, 0).astype(np.int32), mask, order)


@compiled
def _flow(
    landscape: NDArray[np.float32],
    basins: NDArray[np.int32],
    mask: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> NDArray[np.int32]:
    height, width = basins.shape
    waiting = np.empty(order.size, np.int64)
    passed = np.zeros(basins.shape, np.bool_)
    for first in order:
        # What no water has reached yet is flooded with the lower pixel that will bring it.
        passed[first // width, first % width] = True
        if basins[first // width, first % width] == 0:
            continue
        waiting[0], left = first, 1
        while left:
            left -= 1
            y, x = waiting[left] // width, waiting[left] % width
            for to_y, to_x in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                if not (0 <= to_y < height and 0 <= to_x < width) or not mask[to_y, to_x]:
                    continue
                if basins[to_y, to_x] == 0:
                    basins[to_y, to_x] = basins[y, x]
                    if passed[to_y, to_x]:
                        waiting[left] = to_y * width + to_x
                        left += 1
    return basins

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
    basins = np.where(mask, peaks, 0).astype(np.int32)
    order = _from_the_top(np.ascontiguousarray(landscape).ravel(), np.flatnonzero(mask))
    return _flow(basins, mask, order)


@compiled
def _from_the_top(heights: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort places by height, the highest first, equal ones as they come; by digits of 16 bits."""
    bits = heights.view(np.uint32)
    key = np.empty(places.size, np.uint32)
    for at in range(places.size):
        # Whole numbers that fall as the floats rise: of those below 0 more bits are less already.
        word = bits[places[at]]
        key[at] = word if word >> 31 else word ^ np.uint32(0x7FFFFFFF)
    for shift in (0, 16):
        begin = np.zeros(1 << 16, np.int64)
        for each in key:
            begin[(each >> shift) & 0xFFFF] += 1
        before = 0
        for digit in range(begin.size):
            begin[digit], before = before, before + begin[digit]
        sorted_key, sorted_places = np.empty_like(key), np.empty_like(places)
        for at in range(places.size):
            digit = (key[at] >> shift) & 0xFFFF
            sorted_key[begin[digit]], sorted_places[begin[digit]] = key[at], places[at]
            begin[digit] += 1
        key, places = sorted_key, sorted_places
    return places


@compiled
def _flow(
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

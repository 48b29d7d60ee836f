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
    # Beyond the edges lies a pixel where no water flows: the neighbours of a place are then a step
    # away in memory, without asking for its row.
    framed = np.pad(mask, 1)
    order = _from_the_top(np.pad(landscape, 1).ravel(), np.flatnonzero(framed))
    basins = np.pad(np.where(mask, peaks, 0).astype(np.int32), 1)
    _flow(basins.ravel(), framed.ravel(), order, framed.shape[1])
    return np.ascontiguousarray(basins[1:-1, 1:-1])


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
    basins: NDArray[np.int32], mask: NDArray[np.bool_], order: NDArray[np.int64], width: int
) -> None:
    """Flood ``basins``, all places in one row; ``width`` places on lies the pixel below."""
    waiting = np.empty(order.size, np.int64)
    passed = np.zeros(basins.size, np.bool_)
    for first in order:
        # What no water has reached yet is flooded with the lower pixel that will bring it.
        passed[first] = True
        if basins[first] == 0:
            continue
        waiting[0], left = first, 1
        while left:
            left -= 1
            here = waiting[left]
            for there in (here - width, here - 1, here + 1, here + width):
                if mask[there] and basins[there] == 0:
                    basins[there] = basins[here]
                    if passed[there]:
                        waiting[left] = there
                        left += 1

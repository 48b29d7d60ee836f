"""Merging: basins of a watershed between which hardly anything rises belong to one nucleus."""

import numpy as np
from numpy.typing import NDArray


def owners(
    basins: NDArray[np.int32],
    peaks: NDArray[np.int32],
    landscape: NDArray[np.float32],
    prominence: float,
) -> NDArray[np.int32]:
    """Merge neighbouring basins of which the lower peak hardly rises above their saddle.

    From the highest saddle down, as the water falls: when two basins meet, the lower one has its
    prominence, peak minus saddle, for good.

    Parameters
    ----------
    basins : ndarray
        (H, W) int32, 0 = background, basins 1 .. n.
    peaks : ndarray
        (H, W) int32: each basin's number where it has its peak, 0 elsewhere.
    landscape : ndarray
        (H, W) float32 that was flooded.
    prominence : float
        How far a peak stands above the saddle if it is not merged.

    Returns
    -------
    ndarray
        (n + 1,) int32: the basin that each basin becomes part of, itself where it stays.
    """
    peak = np.full(int(basins.max()) + 1, -np.inf)
    at = np.flatnonzero(peaks != 0)  # of booleans it is nine times as fast
    np.maximum.at(peak, peaks.ravel()[at], landscape.ravel()[at])
    # Lists: one number at a time they are several times faster than arrays.
    tops, parent = peak.tolist(), list(range(peak.size))

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = parent[basin]
        return basin

    for saddle, one, other in _low_saddles(basins, landscape, peak, prominence):
        low, high = root(one), root(other)
        if tops[high] < tops[low]:
            low, high = high, low
        if low != high and tops[low] - saddle < prominence:
            parent[low] = high
    owner = np.array(parent, np.int32)
    while (owner[owner] != owner).any():
        owner = owner[owner]
    return owner


def _low_saddles(
    basins: NDArray[np.int32],
    landscape: NDArray[np.float32],
    peak: NDArray[np.float64],
    prominence: float,
) -> list[tuple[float, int, int]]:
    """List (height, basin, basin) of the highest pass between neighbours, highest first.

    Left out are those over which both basins' peaks stand out: whatever they are merged with has
    no lower peak, so nothing is ever merged there.
    """
    found = [_passes(basins, landscape, axis) for axis in (0, 1)]
    ends = np.concatenate([ends for ends, _ in found], axis=1)
    height = np.concatenate([height for _, height in found])
    merging = peak[ends].min(axis=0) - height < prominence
    ends, height = np.sort(ends[:, merging], axis=0).astype(np.int64), height[merging]
    pair = ends[0] * peak.size + ends[1]
    order = np.argsort(pair)
    pair, height = pair[order], height[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    pair = pair[first]
    height = np.maximum.reduceat(height, first) if first.size else height
    falling = np.lexsort((pair, height))[::-1]
    one, other = np.divmod(pair[falling], peak.size)
    return list(zip(height[falling].tolist(), one.tolist(), other.tolist(), strict=True))


def _passes(
    basins: NDArray[np.int32], landscape: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find where two basins touch along an axis: the two, (2, N), and the lower pixel, (N,)."""
    width = basins.shape[1]
    step = width if axis == 0 else 1
    one, other = basins.ravel()[:-step], basins.ravel()[step:]
    at = np.flatnonzero((one != other) & (one > 0) & (other > 0))
    if axis == 1:
        at = at[(at + 1) % width != 0]  # the next place is the next row's first
    heights = landscape.ravel()
    return np.stack([one[at], other[at]]), np.minimum(heights[at], heights[at + step])


def merged(
    basins: NDArray[np.int32], owner: NDArray[np.int32], min_area_px: float
) -> NDArray[np.int32]:
    """Join basins to their owners, drop objects of fewer pixels and number the others 1 .. n.

    Parameters
    ----------
    basins : ndarray
        (H, W) int32, 0 = background.
    owner : ndarray
        (m + 1,) int32: the basin that each becomes part of; 0 stays 0.
    min_area_px : float
        The least number of pixels of an object.
    """
    pixels = np.bincount(basins.ravel(), minlength=owner.size)
    sizes = np.bincount(owner, weights=pixels, minlength=owner.size)
    kept = (sizes > 0) & (sizes >= min_area_px)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.take(numbers[owner], basins)

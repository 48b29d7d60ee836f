"""From maps to nuclei: the prominent peaks of the distance map flood the foreground."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

# `divide` also runs where there is neither OpenCV nor pydantic: see nuguide.training.gpu.
if TYPE_CHECKING:
    from nuguide.models.card import Decoding


@dataclass(frozen=True)
class Maps:
    """What a network says of a region.

    Attributes
    ----------
    foreground : ndarray
        (H, W) float32 probability of nucleus, 0..1.
    distance : ndarray or None
        (H, W) float32 normalised distance to the nucleus' border, about 0..1; None where the
        network has no such head.
    mpp : float
        um/px of the maps.
    """

    foreground: NDArray[np.float32]
    distance: NDArray[np.float32] | None
    mpp: float


def decode(maps: Maps, decoding: "Decoding") -> NDArray[np.int32]:
    """Divide the foreground into nuclei: a watershed of the distance map, basins merged.

    Every peak of the smoothed distance gets a basin; two basins become one where the lower peak
    stands less than ``prominence`` above the saddle between them. (Flooding from the maxima that
    an h-maxima transform leaves gives the same, at several times the cost.)

    Without a distance head the Euclidean distance within the foreground takes its place, divided
    by the radius of a nucleus of 5 um so that the thresholds keep their meaning.

    Parameters
    ----------
    maps : Maps
        Of one region.
    decoding : Decoding
        Thresholds, in um.

    Returns
    -------
    ndarray
        (H, W) int32 label map, 0 = background, nuclei 1 .. n.
    """
    mask = maps.foreground > decoding.foreground_threshold
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    distance = _smoothed(_distance(maps, mask), decoding.smoothing_um / maps.mpp)
    return divide(mask, distance, decoding, maps.mpp)


def divide(
    mask: NDArray[np.bool_], distance: NDArray[np.float32], decoding: "Decoding", mpp: float
) -> NDArray[np.int32]:
    """Divide a foreground that is not empty by its smoothed distance; see ``decode``."""
    peaks = _peaks(distance, mask)
    labels = _merged(_flooded(mask, distance, peaks), peaks, distance, decoding.prominence)
    return without_small(labels, decoding.min_area_um2 / mpp**2)


def _distance(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if maps.distance is not None:
        return maps.distance
    import cv2

    euclidean = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(euclidean * maps.mpp / 5.0, np.float32)


def _smoothed(distance: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    if sigma_px <= 0:
        return distance
    import cv2

    return np.asarray(cv2.GaussianBlur(distance, (0, 0), sigma_px), np.float32)


def _peaks(distance: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the local maxima inside the mask; every part of the mask has one at least."""
    inside = np.where(mask, distance, -np.inf).astype(np.float32)
    highest = ndimage.maximum_filter(inside, 3, mode="nearest")
    peaks, _ = ndimage.label(mask & (inside >= highest), np.ones((3, 3)))
    return np.asarray(peaks, np.int32)


def _flooded(
    mask: NDArray[np.bool_], distance: NDArray[np.float32], peaks: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Give every pixel of the mask the number of the peak that floods it.

    A part of the mask with a single peak is its basin; only the others need a watershed.
    """
    parts, count = ndimage.label(mask)  # connected as water flows: by edges
    at = np.flatnonzero(peaks)
    part, number = parts.ravel()[at], peaks.ravel()[at]
    first, last = np.full(count + 1, peaks.max(initial=0) + 1, np.int32), np.zeros(count + 1, int)
    np.minimum.at(first, part, number)
    np.maximum.at(last, part, number)
    shared = first != last
    shared[0], first[0] = False, 0
    basins = first[parts]
    among = shared[parts]
    divided = watershed(-distance, np.where(among, peaks, 0), mask=among)
    return np.where(among, divided, basins).astype(np.int32)


def _merged(
    basins: NDArray[np.int32],
    peaks: NDArray[np.int32],
    distance: NDArray[np.float32],
    prominence: float,
) -> NDArray[np.int32]:
    """Merge neighbouring basins of which the lower peak hardly rises above their saddle.

    From the highest saddle down, as the water falls: when two basins meet, the lower one has its
    prominence, peak minus saddle, for good.
    """
    count = int(basins.max())
    numbers = np.arange(count + 1)
    peak = np.full(count + 1, -np.inf)
    at = np.flatnonzero(peaks)
    np.maximum.at(peak, peaks.ravel()[at], distance.ravel()[at])
    parent = numbers.tolist()

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = parent[basin]
        return basin

    for saddle, one, other in _saddles(basins, distance):
        low, high = sorted((root(one), root(other)), key=lambda basin: peak[basin])
        if low != high and peak[low] - saddle < prominence:
            parent[low] = high
    merged = np.array([root(basin) for basin in range(count + 1)], np.int32)
    return np.asarray(merged[basins], np.int32)


def _saddles(
    basins: NDArray[np.int32], distance: NDArray[np.float32]
) -> list[tuple[float, int, int]]:
    """List (height, basin, basin) of the highest pass between neighbours, highest first."""
    pairs, heights = [], []
    for ahead, behind in (np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1]):
        one, other = basins[behind], basins[ahead]
        border = (one != other) & (one > 0) & (other > 0)
        ends = np.stack([one[border], other[border]])
        pairs.append(np.sort(ends, axis=0))
        heights.append(np.minimum(distance[behind], distance[ahead])[border])
    ends, height = np.concatenate(pairs, axis=1), np.concatenate(heights)
    order = np.lexsort((-height, ends[1], ends[0]))
    ends, height = ends[:, order], height[order]
    first = np.ones(height.size, bool)
    first[1:] = (ends[:, 1:] != ends[:, :-1]).any(axis=0)
    found = zip(height[first].tolist(), *ends[:, first].tolist(), strict=True)
    return sorted(found, reverse=True)


def without_small(labels: NDArray[np.int32], min_area_px: float) -> NDArray[np.int32]:
    """Drop objects of fewer pixels and number the others 1 .. n."""
    sizes = np.bincount(labels.ravel())
    return numbered(labels, sizes >= min_area_px)


def numbered(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Keep some objects, ``keep[label]``, and number those that have pixels 1 .. n."""
    present = np.zeros(keep.size, np.bool_)
    present[labels.ravel()] = True
    kept = keep & present
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.asarray(numbers[labels], np.int32)

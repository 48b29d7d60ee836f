"""From maps to nuclei: a landscape that is high in nuclei floods the foreground, peak by peak.

What a model's heads say decides the landscape: the normalised distance, or how the offsets to the
nucleus' centre change from pixel to pixel. All else is one way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# `divided` also runs where there is no OpenCV, Numba or pydantic: see nuguide.training.gpu.
if TYPE_CHECKING:
    from nuguide.models.card import Decoding

Landscape = NDArray[np.float32]
"""(H, W), high in the middle of nuclei and low between them."""

_HALF_STEP = np.sqrt(2 * np.pi) / 2
"""A step from 1 to -1, blurred by a Gaussian of s px, is at its steepest 1 / (s times this)."""


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
    offsets : ndarray or None
        (2, H, W) float32 offsets (y, x) from the nucleus' centre, about -1..1; None where the
        network has no such head.
    types : ndarray or None
        (K, H, W) float32 probability of each type of nucleus, summing to 1; None where the network
        has no such head.
    """

    foreground: NDArray[np.float32]
    distance: NDArray[np.float32] | None
    mpp: float
    offsets: NDArray[np.float32] | None = None
    types: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Operations:
    """What dividing takes from elsewhere.

    Attributes
    ----------
    blurred : callable
        An (H, W) float32 map and the standard deviation of a Gaussian, px; edges mirror.
    depth : callable
        An (H, W) mask; each pixel's Euclidean distance to its outside, px, float32.
    highest : callable
        An (H, W) float32 map; the greatest value of each pixel and its eight neighbours.
    flooded : callable
        A landscape, (H, W) int32 numbers of its peaks, and an (H, W) mask; the number of the peak
        that floods each pixel of the mask, as ``nuguide.segmentation.flooding.flooded``.
    """

    blurred: Callable[[NDArray[np.float32], float], NDArray[np.float32]]
    depth: Callable[[NDArray[np.bool_]], NDArray[np.float32]]
    highest: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    flooded: Callable[[Landscape, NDArray[np.int32], NDArray[np.bool_]], NDArray[np.int32]]


def decode(maps: Maps, decoding: "Decoding") -> NDArray[np.int32]:
    """Divide the foreground into nuclei: a watershed of a landscape, basins merged.

    Every peak of the landscape gets a basin; two basins become one where the lower peak stands
    less than ``prominence`` above the saddle between them. (Flooding from the maxima that an
    h-maxima transform leaves gives the same, at several times the cost.)

    The landscape is the smoothed distance; of a network without that head, ``offset_slope`` of its
    offsets; without either head, the Euclidean distance within the foreground, divided by the
    radius of a nucleus of 5 um so that the thresholds keep their meaning.

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
    return divided(maps, decoding, _compiled())


def divided(maps: Maps, decoding: "Decoding", operations: Operations) -> NDArray[np.int32]:
    """Divide as ``decode`` does, with operations of the caller's."""
    mask = maps.foreground > decoding.foreground_threshold
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    landscape = _landscape(maps, mask, decoding.smoothing_um / maps.mpp, operations)
    peaks = _peaks(landscape, mask, operations)
    basins = operations.flooded(landscape, peaks, mask)
    labels = _merged(basins, peaks, landscape, decoding.prominence)
    return without_small(labels, decoding.min_area_um2 / maps.mpp**2)


def _landscape(
    maps: Maps, mask: NDArray[np.bool_], sigma_px: float, operations: Operations
) -> Landscape:
    if maps.distance is None and maps.offsets is not None:
        return offset_slope(maps.offsets, sigma_px, operations)
    distance = maps.distance
    if distance is None:
        distance = np.asarray(operations.depth(mask) * maps.mpp / 5.0, np.float32)
    return operations.blurred(distance, sigma_px) if sigma_px > 0 else distance


def offset_slope(
    offsets: NDArray[np.float32], sigma_px: float, operations: Operations
) -> Landscape:
    """Return how steeply the offsets rise, the lesser of down the rows and along the columns.

    Inside a nucleus an offset rises slowly from -1 to 1; from one nucleus to the next it falls
    from 1 to -1 at once. Scaled so that such a fall is about -1, however wide the Gaussian.

    Parameters
    ----------
    offsets : ndarray
        (2, H, W) float32 offsets (y, x) from the nucleus' centre, -1..1.
    sigma_px : float
        Standard deviation of the Gaussian over the offsets, px; 0: none.
    operations : Operations
        Which of them blurs.

    Notes
    -----
    After Graham et al., HoVer-Net, Medical Image Analysis 58, 2019, eq. 9 and 10. There the slopes
    are scaled by their extremes in the image, so that a nucleus is divided otherwise in another
    crop; they are taken over 21 px; and markers are what lies beyond two fixed thresholds, where
    here every peak counts by its prominence.
    """
    slopes = []
    for axis, offset in enumerate(offsets):
        smooth = operations.blurred(offset, sigma_px) if sigma_px > 0 else offset
        slopes.append(ndimage.correlate1d(smooth, (-0.5, 0, 0.5), axis=axis, mode="nearest"))
    # Two pixels apart, a step that nothing has blurred has the slope of one blurred by 0.8 px.
    scale = max(sigma_px, 1 / _HALF_STEP) * _HALF_STEP
    return np.asarray(np.minimum(*slopes) * scale, np.float32)


def _compiled() -> Operations:
    import cv2

    from nuguide.segmentation.flooding import flooded

    def blurred(values: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)

    def depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5), np.float32)

    def highest(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.dilate(values, np.ones((3, 3), np.uint8)), np.float32)

    return Operations(blurred, depth, highest, flooded)


def _peaks(
    landscape: Landscape, mask: NDArray[np.bool_], operations: Operations
) -> NDArray[np.int32]:
    """Number the local maxima inside the mask; every part of the mask has one at least."""
    inside = np.where(mask, landscape, -np.inf).astype(np.float32)
    highest = operations.highest(inside)
    peaks, _ = ndimage.label(mask & (inside >= highest), np.ones((3, 3)))
    return np.asarray(peaks, np.int32)


def _merged(
    basins: NDArray[np.int32],
    peaks: NDArray[np.int32],
    landscape: Landscape,
    prominence: float,
) -> NDArray[np.int32]:
    """Merge neighbouring basins of which the lower peak hardly rises above their saddle.

    From the highest saddle down, as the water falls: when two basins meet, the lower one has its
    prominence, peak minus saddle, for good.
    """
    peak = np.full(int(basins.max()) + 1, -np.inf)
    at = np.flatnonzero(peaks)
    np.maximum.at(peak, peaks.ravel()[at], landscape.ravel()[at])
    parent = np.arange(peak.size)

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = parent[basin]
        return basin

    for saddle, one, other in _low_saddles(basins, landscape, peak, prominence):
        low, high = sorted((root(one), root(other)), key=lambda basin: peak[basin])
        if low != high and peak[low] - saddle < prominence:
            parent[low] = high
    while (parent[parent] != parent).any():
        parent = parent[parent]
    return np.asarray(parent.astype(np.int32)[basins], np.int32)


def _low_saddles(
    basins: NDArray[np.int32],
    landscape: Landscape,
    peak: NDArray[np.float64],
    prominence: float,
) -> list[tuple[float, int, int]]:
    """List (height, basin, basin) of the highest pass between neighbours, highest first.

    Left out are those over which both basins' peaks stand out: whatever they are merged with has
    no lower peak, so nothing is ever merged there.
    """
    pairs, heights = [], []
    for ahead, behind in (np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1]):
        one, other = basins[behind], basins[ahead]
        at = np.nonzero(one != other)
        ends = np.stack([one[at], other[at]])
        height = np.minimum(landscape[behind][at], landscape[ahead][at])
        # Neither is background, which has no peak.
        merging = ends.all(axis=0) & (peak[ends].min(axis=0) - height < prominence)
        pairs.append(np.sort(ends[:, merging], axis=0))
        heights.append(height[merging])
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
    kept = (sizes > 0) & (sizes >= min_area_px)
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return np.asarray(numbers[labels], np.int32)

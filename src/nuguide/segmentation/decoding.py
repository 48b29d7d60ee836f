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

from nuguide.segmentation.merging import merged, owners

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
    owner = owners(basins, peaks, landscape, decoding.prominence)
    return merged(basins, owner, decoding.min_area_um2 / maps.mpp**2)


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
        slopes.append(_slope(smooth, axis))
    # Two pixels apart, a step that nothing has blurred has the slope of one blurred by 0.8 px.
    scale = max(sigma_px, 1 / _HALF_STEP) * _HALF_STEP
    lesser = np.minimum(*slopes)
    return np.multiply(lesser, scale, out=lesser, casting="same_kind")


def _slope(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return half of what the next pixel has more than the one before; edges repeat."""
    slope = np.empty_like(values)
    along, out = (values, slope) if axis == 0 else (values.T, slope.T)
    last = len(along) - 1
    np.subtract(along[2:], along[:-2], out=out[1:-1])
    out[0] = along[min(1, last)] - along[0]
    out[-1] = along[last] - along[max(0, last - 1)]
    slope *= 0.5
    return slope


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
    inside = np.where(mask, landscape, np.float32(-np.inf))
    highest = operations.highest(inside)
    peaks, _ = ndimage.label(mask & (inside >= highest), np.ones((3, 3)))
    return np.asarray(peaks, np.int32)

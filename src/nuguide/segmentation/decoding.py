"""From maps to nuclei: peaks of the distance map flood the foreground."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

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


def decode(maps: Maps, decoding: Decoding) -> NDArray[np.int32]:
    """Divide the foreground into nuclei by a watershed from the distance map's peaks.

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
    markers = _markers(distance, mask, decoding, maps.mpp)
    labels = np.asarray(watershed(-distance, markers, mask=mask), np.int32)
    return without_small(labels, decoding.min_area_um2 / maps.mpp**2)


def _distance(maps: Maps, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if maps.distance is not None:
        return maps.distance
    euclidean = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(euclidean * maps.mpp / 5.0, np.float32)


def _smoothed(distance: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    if sigma_px <= 0:
        return distance
    return np.asarray(cv2.GaussianBlur(distance, (0, 0), sigma_px), np.float32)


def _markers(
    distance: NDArray[np.float32], mask: NDArray[np.bool_], decoding: Decoding, mpp: float
) -> NDArray[np.int32]:
    """Number the peaks; a part of the foreground without one is a nucleus of its own."""
    radius = max(1, round(decoding.peak_min_distance_um / mpp))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    highest = np.asarray(cv2.dilate(distance, disc), np.float32)
    peaks = (distance >= highest) & mask & (distance > decoding.peak_threshold)
    parts, n_parts = ndimage.label(mask)
    with_peak = np.zeros(n_parts + 1, bool)
    with_peak[parts[peaks]] = True
    markers, _ = ndimage.label(peaks | (mask & ~with_peak[parts]), np.ones((3, 3)))
    return np.asarray(markers, np.int32)


def without_small(labels: NDArray[np.int32], min_area_px: float) -> NDArray[np.int32]:
    """Drop objects of fewer pixels and number the others 1 .. n."""
    sizes = np.bincount(labels.ravel())
    keep = sizes >= min_area_px
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return np.asarray(numbers[labels], np.int32)

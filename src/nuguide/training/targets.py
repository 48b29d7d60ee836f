"""What the heads learn, and where errors weigh more, made from an instance map."""

from collections.abc import Collection
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_parts

CLOSENESS_UM = 1.0
"""Standard deviation of ``border_closeness`` in training, um."""

Targets = dict[str, NDArray[np.float32]]
Number = TypeVar("Number", np.int32, np.float32)


def make_targets(labels: NDArray[np.int32], mpp: float, names: Collection[str]) -> Targets:
    """Make those of ``distance``, ``offsets`` and ``closeness`` that are named.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 instance map, 0 = background.
    mpp : float
        um/px of ``labels``.
    names : collection of str
        Other names, such as those of heads that learn from the labels themselves, are passed over.

    Returns
    -------
    dict of ndarray
        See ``normalised_distance``, ``centre_offsets``, ``border_closeness``.
    """
    made: Targets = {}
    if "distance" in names:
        made["distance"] = normalised_distance(labels)
    if "offsets" in names:
        made["offsets"] = centre_offsets(labels)
    if "closeness" in names:
        made["closeness"] = border_closeness(labels, CLOSENESS_UM / mpp)
    return made


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
        before, after = _neighbours(axis)
        interior[before] &= ~step
        interior[after] &= ~step
    distance = cv2.distanceTransform(interior.astype(np.uint8), cv2.DIST_L2, 5)
    distance = np.where(labels > 0, distance + 0.5, 0).astype(np.float32)
    inside = np.flatnonzero(labels)
    nucleus, depth = labels.ravel()[inside], distance.ravel()[inside]
    largest = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(largest, nucleus, depth)
    normalised = np.zeros(labels.size, np.float32)
    normalised[inside] = depth / largest[nucleus]
    return normalised.reshape(labels.shape)


def centre_offsets(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return how far each pixel lies from its nucleus' centre, each side divided by its reach.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 instance map, 0 = background.

    Returns
    -------
    ndarray
        (2, H, W) float32, (y, x): 0 outside; inside from -1 at the nucleus' first row or column
        over 0 at its centroid to 1 at its last.

    Notes
    -----
    The horizontal and vertical maps of Graham et al., HoVer-Net, Medical Image Analysis 58, 2019.
    A nucleus in several parts, as a crop's edge or another nucleus may leave it, has a centre in
    each.
    """
    parts = np.asarray(connected_parts(labels, connectivity=1, background=0), np.int32)
    inside = np.flatnonzero(parts)
    part = parts.ravel()[inside]
    offsets = np.zeros((2, labels.size), np.float32)
    for axis, place in enumerate(np.divmod(inside, labels.shape[1])):
        count = np.maximum(np.bincount(part), 1)
        offset = place - (np.bincount(part, place) / count)[part]
        reach = np.zeros((2, count.size))
        np.maximum.at(reach[0], part, -offset)
        np.maximum.at(reach[1], part, offset)
        # Where a reach is 0 the offset is, too.
        reach = np.where(reach > 0, reach, 1)
        offsets[axis, inside] = offset / np.where(offset < 0, reach[0][part], reach[1][part])
    return offsets.reshape(2, *labels.shape)


def border_closeness(labels: NDArray[np.int32], sigma_px: float) -> NDArray[np.float32]:
    """Return how close the two nearest nuclei are, exp(-(d1 + d2)^2 / (2 sigma^2)).

    d1 and d2 are the distances to the nearest nucleus and to the next (Ronneberger et al., U-Net,
    MICCAI 2015, eq. 2); inside a nucleus d1 is 0.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 instance map, 0 = background.
    sigma_px : float
        sigma, px.

    Returns
    -------
    ndarray
        (H, W) float32 in 0..1: near 1 where nuclei touch, 0 where fewer than two are in reach.

    Notes
    -----
    Unlike the paper's, it also rises inside of nuclei, because there they touch where the paper's
    annotation leaves a gap. d2 is the way to the nearest ridge between two nuclei (of the
    partition of the plane by the nearest nucleus) and from there to the other: exact along the
    gap's shortest way, elsewhere a little too long. So two distance transforms are enough, however
    many nuclei there are.
    """
    if not labels.any():
        return np.zeros(labels.shape, np.float32)
    own, d1 = _nearest(labels == 0, labels)
    other = np.full(labels.shape, np.inf, np.float32)  # to the nucleus beyond the ridge
    for axis in (0, 1):
        before, after = _neighbours(axis)
        step = np.where(own[before] != own[after], np.float32(1), np.float32(np.inf))
        for here, there in ((before, after), (after, before)):
            other[here] = np.minimum(other[here], d1[there] + step)
    apart = ~np.isfinite(other)
    if apart.all():
        return np.zeros(labels.shape, np.float32)
    beyond, way = _nearest(apart, other)
    return np.exp(-((d1 + way + beyond) ** 2) / (2 * sigma_px**2)).astype(np.float32)


def _nearest(
    absent: NDArray[np.bool_], values: NDArray[Number]
) -> tuple[NDArray[Number], NDArray[np.float32]]:
    """Return of each pixel the value at the nearest that is not ``absent``, and the way there."""
    distance, number = cv2.distanceTransformWithLabels(
        absent.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_number = np.zeros(int(number.max()) + 1, values.dtype)
    of_number[number[~absent]] = values[~absent]
    return of_number[number], distance


def _neighbours(axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where pixels stand before, and after, another along an axis."""
    return (np.s_[:-1, :], np.s_[1:, :]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])

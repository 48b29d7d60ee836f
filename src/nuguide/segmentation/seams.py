"""Seams: each nucleus belongs to one region, and lies whole in the image's own pixels.

A region is read with a halo, so a nucleus near its border is seen by two regions, each time whole.
The region whose core holds the centroid claims it. Two regions may place a centroid a little apart,
one on either side of the border: so claims reach ``MARGIN_PX`` beyond the core, and what two
regions claim is kept once when their nuclei are joined (``nuguide.segmentation.joining``).
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.slides.regions import Box, Region

MARGIN_PX = 3
"""How far beyond its core a region claims nuclei, px of the model."""

Labels = NDArray[np.int32]


def claims(labels: Labels, region: Region) -> NDArray[np.bool_]:
    """Tell which nuclei have their centroid in the region's core or in the margin around it.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 label map of ``region.read``, 1 .. n.
    region : Region
        What was read and what is owned, px of the model.

    Returns
    -------
    ndarray
        (n + 1,) bool by label; the background, label 0, is never claimed.
    """
    count = int(labels.max(initial=0))
    if not count:
        return np.zeros(1, np.bool_)
    y, x = _centres(labels, count)
    y, x = y + region.read.y, x + region.read.x
    core, margin = region.core, MARGIN_PX
    inside = (y >= core.y - margin) & (y < core.y + core.height + margin)
    inside &= (x >= core.x - margin) & (x < core.x + core.width + margin)
    return np.concatenate([[False], inside])


@compiled
def _centres(labels: Labels, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean row and column of labels 1 .. n, px; NaN for a label without pixels."""
    pixels, rows, columns = np.zeros(count + 1), np.zeros(count + 1), np.zeros(count + 1)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                pixels[label] += 1
                rows[label] += y
                columns[label] += x
    return rows[1:] / pixels[1:], columns[1:] / pixels[1:]


def window_of(claimed: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns that hold all that is claimed, with what its outlines need.

    Parameters
    ----------
    claimed : ndarray
        (H, W), of which some is true.
    """
    # A pixel for the outline to spread into, one for the interpolation between two; from the grid's
    # lines on, so that places on the image's own pixels round as they do in any other region.
    spread, step = 2, 16
    ends = []
    for axis in (1, 0):
        found = np.flatnonzero(claimed.any(axis=axis))
        length = claimed.shape[1 - axis]
        first, last = max(0, int(found[0]) - spread), int(found[-1]) + 1 + spread
        ends.append((first // step * step, min(length, last)))
    return slice(*ends[0]), slice(*ends[1])


def native_box(read: Box, scale: float, shape: tuple[int, int]) -> Box:
    """Return the part of the image under a box of the model's grid, in the image's own px.

    Parameters
    ----------
    read : Box
        Px of the model.
    scale : float
        Model px per image px: the image's um/px over the model's.
    shape : (int, int)
        (H, W) of the image, px.
    """
    top, left = max(0, math.floor(read.y / scale)), max(0, math.floor(read.x / scale))
    bottom = min(shape[0], math.ceil((read.y + read.height) / scale))
    right = min(shape[1], math.ceil((read.x + read.width) / scale))
    return Box(top, left, bottom - top, right - left)


def to_native(
    labels: Labels,
    foreground: NDArray[np.float32],
    threshold: float,
    read: Box,
    box: Box,
    scale: float,
) -> tuple[Labels, NDArray[np.float32]]:
    """Bring labels and foreground from the model's pixels to the image's own.

    The foreground is interpolated, so that outlines are smooth at whatever scale; each of its
    pixels takes the label of the nearest nucleus.

    Parameters
    ----------
    labels, foreground : ndarray
        (H, W) of ``read``, at the model's um/px: label map, and probability of nucleus.
    threshold : float
        Of the foreground's probability.
    read, box : Box
        The same tissue: px of the model, px of the image.
    scale : float
        Model px per image px.

    Returns
    -------
    labels : ndarray
        (box.height, box.width) int32.
    foreground : ndarray
        (box.height, box.width) float32 probability.
    """
    # Pixel i of the image covers [i, i + 1] * scale of the model's grid.
    shift_x = (box.x + 0.5) * scale - 0.5 - read.x
    shift_y = (box.y + 0.5) * scale - 0.5 - read.y
    affine = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
    size = (box.width, box.height)
    border = cv2.BORDER_REPLICATE
    linear, nearest = (
        flag | cv2.WARP_INVERSE_MAP for flag in (cv2.INTER_LINEAR, cv2.INTER_NEAREST)
    )
    fine = cv2.warpAffine(foreground, affine, size, flags=linear, borderMode=border)
    brought = cv2.warpAffine(_grown(labels), affine, size, flags=nearest, borderMode=border)
    fine = np.asarray(fine, np.float32)
    return _within(fine, np.float32(threshold), np.asarray(brought, np.float32)), fine


def _grown(labels: Labels) -> NDArray[np.float32]:
    """Let each nucleus spread one pixel into the background, where the outline may reach."""
    numbers = labels.astype(np.float32)  # which OpenCV takes; exact below 2^24
    # Dilation takes the larger number where two would meet; the foreground decides the rest.
    spread = np.asarray(cv2.dilate(numbers, np.ones((3, 3), np.uint8)), np.float32)
    np.copyto(spread, numbers, where=labels > 0)
    return spread


@compiled
def _within(
    foreground: NDArray[np.float32], threshold: np.float32, numbers: NDArray[np.float32]
) -> Labels:
    """Return the numbers where the foreground is above the threshold, 0 elsewhere."""
    labels = np.empty(foreground.shape, np.int32)
    for y in range(foreground.shape[0]):
        for x in range(foreground.shape[1]):
            labels[y, x] = np.int32(numbers[y, x]) if foreground[y, x] > threshold else 0
    return labels


@compiled
def numbered(
    labels: Labels, keep: NDArray[np.bool_], least_px: float = 1
) -> tuple[Labels, NDArray[np.int64]]:
    """Keep some nuclei and number those of them that are large enough 1 .. n.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32, 0 = background.
    keep : ndarray
        (m + 1,) bool by label; the background is not looked at.
    least_px : float
        Fewest pixels, at least 1, of a nucleus that is kept.

    Returns
    -------
    labels : ndarray
        (H, W) int32.
    before : ndarray
        (n + 1,) int64: the number that each had before.
    """
    numbers = np.zeros(keep.size, np.int32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            numbers[labels[y, x]] += 1
    before = np.zeros(keep.size, np.int64)
    count = numbers[0] = 0
    for label in range(1, keep.size):
        if numbers[label] >= least_px and keep[label]:
            count += 1
            before[count] = label
            numbers[label] = count
        else:
            numbers[label] = 0
    found = np.empty_like(labels)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            found[y, x] = numbers[labels[y, x]]
    return found, before[: count + 1]

"""Rings: a walk round every piece and every hole of a label map, each edge of a pixel once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled

# Directions in which an edge runs round its pixel, clockwise on the screen: along the pixel's
# top to the right, down its right side, along its bottom to the left, up its left side.
_RIGHT = 0
_STEP_Y, _STEP_X = np.array([0, 1, 0, -1]), np.array([1, 0, -1, 0])
# Middle of each edge, from the pixel's top-left corner.
_MIDDLE_Y, _MIDDLE_X = np.array([0.0, 0.5, 1.0, 0.5]), np.array([0.5, 1.0, 0.5, 0.0])

Rings = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
"""Vertices of all rings (V, 2) x, y; where each begins, (R + 1,); the label inside, (R,)."""


@compiled
def rings_of(labels: NDArray[Any]) -> Rings:
    """Walk round every label.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 = background.

    Returns
    -------
    points : ndarray
        (V, 2) float64, x right and y down: the middles of the pixel edges between a label and
        what surrounds it, without those on a straight line between their neighbours. Clockwise on
        the screen round a piece, the other way round a hole.
    first : ndarray
        (R + 1,) where in ``points`` each ring begins; the last one is the end.
    inside : ndarray
        (R,) label of each ring, in the order of their topmost, then leftmost edges.

    Notes
    -----
    Where two pixels of one label meet at a corner alone, the walk turns left, away from its own
    pixel, and joins the two.
    """
    edges = _count_edges(labels)
    points = np.empty((edges, 2))
    first = np.empty(edges // 4 + 1, np.int64)
    inside = np.empty(edges // 4 + 1, np.int64)
    walked = np.zeros(labels.shape, np.bool_)  # the upper edge of each pixel
    rings = size = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0 and not walked[y, x] and (y == 0 or labels[y - 1, x] != label):
                first[rings], inside[rings] = size, label
                end = _walk(labels, y, x, walked, points, size)
                size = _turns_alone(points, size, end)
                rings += 1
    first[rings] = size
    return points[:size].copy(), first[: rings + 1], inside[:rings]


@compiled
def _is(label: int, labels: NDArray[Any], y: int, x: int) -> bool:
    height, width = labels.shape
    return bool(0 <= y < height and 0 <= x < width and labels[y, x] == label)


@compiled
def _count_edges(labels: NDArray[Any]) -> int:
    """Count the edges of all rings: a closed one has as many to the right as to the left."""
    count = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                count += y == 0 or labels[y - 1, x] != label
                count += x == 0 or labels[y, x - 1] != label
    return 2 * count


@compiled
def _walk(
    labels: NDArray[Any],
    y: int,
    x: int,
    walked: NDArray[np.bool_],
    points: NDArray[np.float64],
    size: int,
) -> int:
    """Walk one ring from the upper edge of (y, x) on, and write its edges' middles from ``size``.

    Returns
    -------
    int
        Where in ``points`` the ring ends.
    """
    label, way = labels[y, x], _RIGHT
    while way != _RIGHT or not walked[y, x]:
        if way == _RIGHT:
            walked[y, x] = True
        points[size, 0], points[size, 1] = x + _MIDDLE_X[way], y + _MIDDLE_Y[way]
        size += 1
        left = (way + 3) & 3
        ahead_y, ahead_x = y + _STEP_Y[way], x + _STEP_X[way]
        if _is(label, labels, ahead_y + _STEP_Y[left], ahead_x + _STEP_X[left]):
            y, x, way = ahead_y + _STEP_Y[left], ahead_x + _STEP_X[left], left
        elif _is(label, labels, ahead_y, ahead_x):
            y, x = ahead_y, ahead_x
        else:
            way = (way + 1) & 3
    return size


@compiled
def _turns_alone(points: NDArray[np.float64], begin: int, end: int) -> int:
    """Drop the points of a closed ring that lie on a straight line; return where it ends now."""
    first_x, first_y = points[begin, 0], points[begin, 1]
    before_x, before_y = points[end - 1, 0], points[end - 1, 1]
    kept = begin
    for at in range(begin, end):
        x, y = points[at, 0], points[at, 1]
        after_x, after_y = first_x, first_y
        if at + 1 < end:
            after_x, after_y = points[at + 1, 0], points[at + 1, 1]
        if (x - before_x) * (after_y - y) != (y - before_y) * (after_x - x):
            points[kept, 0], points[kept, 1] = x, y
            kept += 1
        before_x, before_y = x, y
    return kept

"""Outlines: from a label map to one polygon a nucleus, all nuclei at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

# Directions in which an edge runs round its pixel, clockwise on the screen: along the pixel's
# top to the right, down its right side, along its bottom to the left, up its left side.
_RIGHT, _DOWN, _LEFT, _UP = range(4)
# First corner and step to the second one, (y, x) from the pixel's top-left corner.
_START = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


@dataclass(frozen=True)
class Outlines:
    """One polygon a label.

    Attributes
    ----------
    labels : ndarray
        (N,) the labels present, ascending.
    polygons : ndarray
        (N,) shapely polygons in px of the label map, coordinates (x right, y down); pixel (y, x)
        covers [x, x + 1] x [y, y + 1].
    """

    labels: NDArray[np.int32]
    polygons: NDArray[np.object_]


@dataclass(frozen=True)
class _Edges:
    """Unit edges between a labelled pixel and another label, in no order.

    Attributes
    ----------
    label : ndarray
        (E,) label on the right-hand side.
    start : ndarray
        (E, 2) corner (y, x) where the edge begins.
    direction : ndarray
        (E,) ``_RIGHT``, ``_DOWN``, ``_LEFT`` or ``_UP``.
    """

    label: NDArray[np.int64]
    start: NDArray[np.int64]
    direction: NDArray[np.int64]


def trace(labels: NDArray[Any]) -> Outlines:
    """Trace the outline of every label.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 = background; labels need not be consecutive.

    Returns
    -------
    Outlines
        Valid polygons without holes whose area is the number of pixels (holes filled). Of a
        label in several pieces the largest is kept; pixels that meet at a corner are one piece.

    Notes
    -----
    The vertices are the middles of the pixel edges between a label and what surrounds it, which
    rounds the staircase off; what that takes from the area (half a pixel, whatever the shape) is
    given back by scaling about the centroid, so neighbours overlap by less than that. An outline
    passes each edge once, so it cannot touch itself, not even where two blobs meet at a corner.
    Edges are chained by pointer doubling (Wyllie's list ranking), in compiled code and without a
    loop over nuclei. The length of such an outline is that of the smooth one plus about 5 %
    (measured on discs of 4 to 15 px radius).
    """
    edges = _boundary_edges(labels)
    if edges.label.size == 0:
        return Outlines(np.empty(0, np.int32), np.empty(0, object))
    order, first = _rings(_successors(edges, labels.shape[1] + 1))
    middle = edges.start + _STEP[edges.direction] / 2.0
    points = middle[order][:, ::-1]
    area, centroid = _area_and_centroid(points, first)
    kept, present = _largest_of_each(edges.label[order[first]], area)
    ring = np.repeat(np.arange(first.size), np.diff(np.append(first, order.size)))
    # Every other vertex on a straight line says nothing new.
    vertex = np.isin(ring, kept) & _turns(points, first)
    # Rings of a single pixel enclose 0.5; holes are negative and dropped below.
    outer = np.maximum(area, 0.5)
    grown = np.sqrt((outer + 0.5) / outer)[:, None]
    points = centroid[ring] + (points - centroid[ring]) * grown[ring]
    number = np.cumsum(np.isin(np.arange(first.size), kept)) - 1
    polygons = shapely.polygons(shapely.linearrings(points[vertex], indices=number[ring[vertex]]))
    # Kept rings lie in the order of their first edge; rows go by label.
    return Outlines(present.astype(np.int32), polygons[number[kept]])


def _boundary_edges(labels: NDArray[Any]) -> _Edges:
    padded = np.pad(labels, 1)
    width = labels.shape[1]
    # Borders between rows, then between columns; each is looked at from either side.
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]
    left, right = padded[1:-1, :-1], padded[1:-1, 1:]
    y, x = np.divmod(np.flatnonzero(above != below), width)
    over, under = _edges_of(_LEFT, above[y, x], y - 1, x), _edges_of(_RIGHT, below[y, x], y, x)
    y, x = np.divmod(np.flatnonzero(left != right), width + 1)
    before, after = _edges_of(_DOWN, left[y, x], y, x - 1), _edges_of(_UP, right[y, x], y, x)
    parts = (under, before, over, after)  # by direction: where an outline begins hangs on it
    return _Edges(
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.direction for part in parts]),
    )


def _edges_of(way: int, label: NDArray[Any], y: NDArray[np.int64], x: NDArray[np.int64]) -> _Edges:
    """Return the edges that run in one direction round those of the pixels that are labelled."""
    labelled = label > 0
    start = np.stack([y[labelled], x[labelled]], axis=1) + _START[way]
    number = label[labelled].astype(np.int64)
    return _Edges(number, start, np.full(number.size, way, np.int64))


def _successors(edges: _Edges, corners_a_row: int) -> NDArray[np.int64]:
    """Find for each edge the one that goes on along the same outline."""
    _, number = np.unique(edges.label, return_inverse=True)
    corners = corners_a_row * (int(edges.start[:, 0].max()) + 1)

    def keys(corner: NDArray[np.int64]) -> NDArray[np.int64]:
        return number * corners + corner[:, 0] * corners_a_row + corner[:, 1]

    begins = keys(edges.start)
    order = np.argsort(begins, kind="stable")
    ordered = begins[order]
    ends = keys(edges.start + _STEP[edges.direction])
    place = np.searchsorted(ordered, ends)
    other = np.minimum(place + 1, order.size - 1)
    # Where two pixels of one label meet at a corner, two edges go on from it; turning left, away
    # from the edge's own pixel, joins the two.
    left_turn = (edges.direction + 3) % 4
    joins = (ordered[other] == ends) & (edges.direction[order[other]] == left_turn)
    return order[np.where(joins, other, place)]


def _rings(successor: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order the edges ring by ring.

    Returns
    -------
    order : ndarray
        (E,) edges, those of one ring side by side and in sequence.
    first : ndarray
        (R,) where in ``order`` each ring begins.
    """
    head = np.arange(successor.size)
    jump = successor
    while True:
        smaller = np.minimum(head, head[jump])
        # Once no jump of 2**k finds a smaller edge, the windows of that length round the ring
        # all hold the same smallest edge, which names the ring.
        if np.array_equal(smaller, head):
            break
        head, jump = smaller, jump[jump]
    # Steps to the end of the ring, cut open before its head.
    last = successor == head
    steps = np.where(last, 0, 1)
    jump = np.where(last, np.arange(successor.size), successor)
    while not last[jump].all():
        steps = steps + steps[jump]
        jump = jump[jump]
    order = np.lexsort((-steps, head))
    first = np.flatnonzero(np.diff(head[order], prepend=-1))
    return order, first


def _next_in_ring(points: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    following = np.roll(points, -1, axis=0)
    following[np.append(first[1:], len(points)) - 1] = points[first]
    return following


def _turns(points: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.bool_]:
    ahead = _next_in_ring(points, first) - points
    behind = np.roll(ahead, 1, axis=0)
    behind[first] = ahead[np.append(first[1:], len(points)) - 1]
    cross = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
    return cross != 0.0


def _area_and_centroid(
    points: NDArray[np.float64], first: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signed area (outlines positive, holes negative) and centroid of each ring, by Green."""
    following = _next_in_ring(points, first)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    area = np.add.reduceat(cross, first) / 2.0
    moment = np.add.reduceat((points + following) * cross[:, None], first, axis=0) / 6.0
    return area, moment / area[:, None]


def _largest_of_each(
    label: NDArray[np.int64], area: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rings of largest area by ascending label, and the labels."""
    order = np.lexsort((-area, label))
    present, place = np.unique(label[order], return_index=True)
    return order[place], present

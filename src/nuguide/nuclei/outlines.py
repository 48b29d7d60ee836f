"""Outlines: from a label map to one polygon a nucleus, all nuclei at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.nuclei.rings import rings_of

_DECIMALS = 6


@dataclass(frozen=True)
class Outlines:
    """One polygon a label.

    Attributes
    ----------
    labels : ndarray
        (N,) the labels present, ascending.
    polygons : ndarray
        (N,) shapely polygons in px, coordinates (x right, y down), to 0.000001 px; pixel (y, x)
        covers [x, x + 1] x [y, y + 1].
    """

    labels: NDArray[np.int32]
    polygons: NDArray[np.object_]


def trace(labels: NDArray[Any], origin_px: tuple[float, float] = (0, 0)) -> Outlines:
    """Trace the outline of every label.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 = background; labels need not be consecutive.
    origin_px : tuple of float
        (y, x) of the corner of ``labels[0, 0]``, px.

    Returns
    -------
    Outlines
        Valid polygons without holes whose area is the number of pixels (holes filled). Of a
        label in several pieces the largest is kept; pixels that meet at a corner are one piece.
        None leaves the map, which takes up to half a pixel's area from one at its edge.

    Notes
    -----
    The vertices are the middles of the pixel edges between a label and what surrounds it, which
    rounds the staircase off; what that takes from the area (half a pixel, whatever the shape) is
    given back by scaling about the centroid, so neighbours overlap by less than that. An outline
    passes each edge once, so it cannot touch itself, not even where two blobs meet at a corner.
    Such an outline is longer than the smooth one; ``nuguide.nuclei.morphometry`` corrects for it.
    """
    points, first, inside = rings_of(np.ascontiguousarray(labels))
    if not inside.size:
        return Outlines(np.empty(0, np.int32), np.empty(0, object))
    area, centroid = _area_and_centroid(points, first[:-1])
    largest, present = _largest_of_each(inside, area)
    kept = np.isin(np.arange(inside.size), largest)
    length = np.diff(first)
    points, ring = points[np.repeat(kept, length)], np.repeat(np.arange(largest.size), length[kept])
    # Rings of a single pixel enclose 0.5; holes are negative and never the largest.
    outer = np.maximum(area[kept], 0.5)
    grown = np.sqrt((outer + 0.5) / outer)[:, None]
    middle = centroid[kept][ring]
    points = middle + (points - middle) * grown[ring]
    points = np.clip(points, 0, labels.shape[::-1]) + origin_px[::-1]
    # What is finer is noise of the arithmetic: a nucleus has the same outline in any region.
    points = np.round(points, _DECIMALS)
    polygons = shapely.polygons(shapely.linearrings(points, indices=ring))
    # Kept rings lie in the order of their first edge; rows go by label.
    return Outlines(present.astype(np.int32), polygons[np.argsort(inside[kept])])


def _next_in_ring(points: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    following = np.roll(points, -1, axis=0)
    following[np.append(first[1:], len(points)) - 1] = points[first]
    return following


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

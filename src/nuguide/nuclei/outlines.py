"""Outlines: from a label map to one polygon a nucleus, all nuclei at once."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.nuclei.polygons import Polygons
from nuguide.nuclei.rings import rings_of

_PER_PX = 1e6


@dataclass(frozen=True)
class Outlines:
    """One polygon a label.

    Attributes
    ----------
    labels : ndarray
        (N,) the labels present, ascending.
    polygons : Polygons
        N, in px, to 0.000001 px; pixel (y, x) covers [x, x + 1] x [y, y + 1].
    """

    labels: NDArray[np.int32]
    polygons: Polygons


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
    area = _areas(points, first)
    largest, present = _largest_of_each(inside, area)
    outlines, ends = _outlined(points, first, largest, labels.shape, origin_px)
    return Outlines(present.astype(np.int32), Polygons(outlines, ends))


def _largest_of_each(
    label: NDArray[np.int64], area: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rings of largest area by ascending label, and the labels."""
    order = np.lexsort((-area, label))
    present, place = np.unique(label[order], return_index=True)
    return order[place], present


@compiled
def _areas(points: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Signed area of each ring, (R,): of outlines positive, of holes negative."""
    area = np.empty(first.size - 1)
    for ring in range(area.size):
        area[ring] = _area_and_moments(points[first[ring] : first[ring + 1]])[0]
    return area


@compiled
def _area_and_moments(ring: NDArray[np.float64]) -> tuple[float, float, float]:
    """Area of an open ring, and its first moments, x and y, by Green's theorem."""
    twice = sum_x = sum_y = 0.0
    for at in range(len(ring)):
        x0, y0 = ring[at - 1, 0], ring[at - 1, 1]
        x1, y1 = ring[at, 0], ring[at, 1]
        cross = x0 * y1 - x1 * y0
        twice += cross
        sum_x += (x0 + x1) * cross
        sum_y += (y0 + y1) * cross
    return twice / 2.0, sum_x / 6.0, sum_y / 6.0


@compiled
def _outlined(
    points: NDArray[np.float64],
    first: NDArray[np.int64],
    chosen: NDArray[np.int64],
    shape: tuple[int, int],
    origin_px: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Make outlines of some rings: grown, inside the map, closed, and in the image's px."""
    ends = np.zeros(chosen.size + 1, np.int64)
    for number in range(chosen.size):
        ring = chosen[number]
        ends[number + 1] = ends[number] + first[ring + 1] - first[ring] + 1
    outlines = np.empty((ends[-1], 2))
    for number in range(chosen.size):
        ring = points[first[chosen[number]] : first[chosen[number] + 1]]
        area, moment_x, moment_y = _area_and_moments(ring)
        # Rings of a single pixel enclose 0.5.
        area = max(area, 0.5)
        grown = math.sqrt((area + 0.5) / area)
        x, y = moment_x / area, moment_y / area
        begin, end = ends[number], ends[number + 1]
        for at in range(end - begin - 1):
            outlines[begin + at, 0] = _placed(x + (ring[at, 0] - x) * grown, shape[1], origin_px[1])
            outlines[begin + at, 1] = _placed(y + (ring[at, 1] - y) * grown, shape[0], origin_px[0])
        outlines[end - 1] = outlines[begin]
    return outlines, ends


@compiled
def _placed(inside: float, size: int, origin: float) -> float:
    """Return a coordinate in the image's px of one in a map that begins at ``origin``."""
    # What is finer is noise of the arithmetic: a nucleus has the same outline in any region.
    return float(np.rint((min(max(inside, 0.0), size) + origin) * _PER_PX) / _PER_PX)

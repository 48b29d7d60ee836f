"""The shape of polygons: area, centroid, length, axes, and how much of their hull they fill."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.nuclei.polygons import Polygons

_DETOUR = 8 * (math.sqrt(2) - 1) / math.pi


@dataclass(frozen=True)
class Shapes:
    """Shape of N polygons, in units of their coordinates.

    Attributes
    ----------
    centroid : ndarray
        (N, 2) x, y.
    area, perimeter, major_axis, minor_axis, eccentricity, solidity : ndarray
        (N,) each; the perimeter is that of the smooth outline, see ``shapes_of``; axes are full
        lengths of the ellipse with the same second moments.
    """

    centroid: NDArray[np.float64]
    area: NDArray[np.float64]
    perimeter: NDArray[np.float64]
    major_axis: NDArray[np.float64]
    minor_axis: NDArray[np.float64]
    eccentricity: NDArray[np.float64]
    solidity: NDArray[np.float64]


def shapes_of(polygons: Polygons) -> Shapes:
    """Measure polygons wound positively in (x, y), clockwise on the screen.

    Notes
    -----
    An outline through the middles of pixel edges goes along them or at 45 degrees, and so is longer
    than a smooth one by 8 (sqrt(2) - 1) / pi, the mean over all directions; the perimeter is its
    length divided by that (Kulpa, Computer Graphics and Image Processing 6, 1977: times 0.948).

    Second moments are those of the area inside, by Green's theorem over the edges; an ellipse of
    full axis a has the second moment a^2 / 16 along it.
    """
    centroid, area, length, moments, hull = _measured(polygons.points, polygons.first)
    xx, yy, xy = moments.T
    mean, spread = (xx + yy) / 2.0, np.hypot((xx - yy) / 2.0, xy)
    large, small = mean + spread, np.maximum(mean - spread, 0.0)
    return Shapes(
        centroid=centroid,
        area=area,
        perimeter=length / _DETOUR,
        major_axis=4.0 * np.sqrt(large),
        minor_axis=4.0 * np.sqrt(small),
        eccentricity=np.sqrt(1.0 - small / large),
        solidity=np.minimum(area / hull, 1.0),
    )


_Sums = tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
]


@compiled
def _measured(points: NDArray[np.float64], first: NDArray[np.int64]) -> _Sums:
    """Centroid (N, 2), area, length, second moments (N, 3) xx, yy, xy, and area of the hull."""
    count = first.size - 1
    centroid, moments = np.empty((count, 2)), np.empty((count, 3))
    area, length, hull = np.empty(count), np.empty(count), np.empty(count)
    for each in range(count):
        ring = points[first[each] : first[each + 1]]
        # About a point of its own: far from the origin the sums would cancel to noise.
        x, y, area[each] = _middle(ring, ring[0, 0], ring[0, 1])
        centroid[each, 0], centroid[each, 1] = x, y
        xx = yy = xy = along = 0.0
        for at in range(len(ring) - 1):
            x0, y0 = ring[at, 0] - x, ring[at, 1] - y
            x1, y1 = ring[at + 1, 0] - x, ring[at + 1, 1] - y
            cross = x0 * y1 - x1 * y0
            xx += cross * 2 * (x0 * x0 + x1 * x1 + x0 * x1)
            yy += cross * 2 * (y0 * y0 + y1 * y1 + y0 * y1)
            xy += cross * (2 * (x0 * y0 + x1 * y1) + x0 * y1 + x1 * y0)
            along += math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2)
        moments[each, 0], moments[each, 1], moments[each, 2] = xx, yy, xy
        moments[each] /= 24.0 * area[each]
        length[each], hull[each] = along, _hull_area(ring)
    return centroid, area, length, moments, hull


@compiled
def _middle(ring: NDArray[np.float64], x: float, y: float) -> tuple[float, float, float]:
    """Return a ring's centroid, x and y, and its area, by sums about (x, y)."""
    twice = sum_x = sum_y = 0.0
    for at in range(len(ring) - 1):
        x0, y0 = ring[at, 0] - x, ring[at, 1] - y
        x1, y1 = ring[at + 1, 0] - x, ring[at + 1, 1] - y
        cross = x0 * y1 - x1 * y0
        twice += cross
        sum_x += cross * (x0 + x1)
        sum_y += cross * (y0 + y1)
    return x + sum_x / (3 * twice), y + sum_y / (3 * twice), twice / 2


@compiled
def _hull_area(ring: NDArray[np.float64]) -> float:
    """Return the area of a ring's convex hull, by Andrew's monotone chain."""
    order = np.argsort(ring[:-1, 0])
    x, y = ring[order, 0] - ring[0, 0], ring[order, 1] - ring[0, 1]
    _sort_ties(x, y)
    chain = np.empty(x.size, np.int64)
    twice = 0.0
    for back in (False, True):  # along one side from left to right, along the other one back
        size = 0
        for number in range(x.size):
            at = x.size - 1 - number if back else number
            while size > 1:
                one, two = chain[size - 2], chain[size - 1]
                turn = (x[two] - x[one]) * (y[at] - y[one]) - (y[two] - y[one]) * (x[at] - x[one])
                if turn > 0:
                    break
                size -= 1
            chain[size] = at
            size += 1
        for place in range(size - 1):
            one, two = chain[place], chain[place + 1]
            twice += x[one] * y[two] - x[two] * y[one]
    return twice / 2


@compiled
def _sort_ties(x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Sort points that lie in the order of their x by y too where their x is one."""
    for at in range(1, x.size):
        mine, to = y[at], at
        while to > 0 and x[to - 1] == x[at] and y[to - 1] > mine:
            y[to] = y[to - 1]
            to -= 1
        y[to] = mine

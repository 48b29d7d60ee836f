"""Simplex noise in two dimensions, and octaves of it.

Perlin, "Noise hardware", SIGGRAPH course 2001; Gustavson, "Simplex noise demystified", 2005.
"""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_SKEW = (math.sqrt(3) - 1) / 2  # turns the grid of triangles into one of squares
_UNSKEW = (3 - math.sqrt(3)) / 6
_PERIOD = 256
_TO_UNIT = 70.0  # the largest sum of three corners is about 1 / 70 for gradients of length sqrt(2)


def simplex_noise(y: Values, x: Values, random: np.random.Generator) -> Values:
    """Return noise of about -1 to 1 at points (y, x); its features are about one unit wide.

    Parameters
    ----------
    y, x : ndarray
        Equal shapes.
    random : Generator
        Draws the gradients: equal states give equal noise.
    """
    hashed = random.permutation(_PERIOD)
    angles = random.uniform(0, 2 * np.pi, _PERIOD)
    gradients = math.sqrt(2) * np.sin(angles), math.sqrt(2) * np.cos(angles)
    skewed = (x + y) * _SKEW
    row, column = np.floor(y + skewed), np.floor(x + skewed)
    back = (row + column) * _UNSKEW
    dy, dx = y - row + back, x - column + back
    lower = dx > dy  # which of the square's two triangles
    total = np.zeros(np.shape(x))
    for step_y, step_x in ((0, 0), (~lower, lower), (1, 1)):
        along = np.add(step_y, step_x, dtype=np.int64) * _UNSKEW
        away_y, away_x = dy - step_y + along, dx - step_x + along
        which = _hash(row + step_y, column + step_x, hashed)
        fall = np.maximum(0.5 - away_y**2 - away_x**2, 0) ** 4
        total += fall * (gradients[0][which] * away_y + gradients[1][which] * away_x)
    return _TO_UNIT * total


def _hash(row: Values, column: Values, hashed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of the gradient at each corner of the grid."""
    rows, columns = (each.astype(np.int64) % _PERIOD for each in (row, column))
    return hashed[(rows + hashed[columns]) % _PERIOD]


def octaves(
    size: int, wavelength: float, count: int, persistence: float, random: np.random.Generator
) -> Values:
    """Return a sum of noises, each half as wide as the one before and ``persistence`` as strong.

    Parameters
    ----------
    size : int
        Side of the result, px.
    wavelength : float
        Width of the features of the first, px.
    count : int
        How many.

    Returns
    -------
    ndarray
        (size, size) brought to 0..1 by its least and greatest value.
    """
    y, x = np.meshgrid(np.arange(float(size)), np.arange(float(size)), indexing="ij")
    total = np.zeros((size, size))
    for number in range(count):
        scale = 2.0**number / wavelength
        total += persistence**number * simplex_noise(y * scale, x * scale, random)
    low, high = total.min(), total.max()
    return (total - low) / max(high - low, 1e-12)

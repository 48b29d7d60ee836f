"""How many nuclei lie where: counts on a coarse grid, from nuclei that stream by."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import ndimage

_CELLS_ALONG = 256
_SMALLEST_CELL_UM = 20.0  # two or three nuclei wide: less would show nuclei, not their density
_SMOOTHING_CELLS = 1.5
_UM2_PER_MM2 = 1e6

COUNTED = ("centroid_y_um", "centroid_x_um")
"""The columns of a nucleus table that counting reads."""


@dataclass(frozen=True)
class Density:
    """Nuclei counted on a grid of square cells that begins at the image's origin.

    Attributes
    ----------
    counts : ndarray
        (h, w) int64, nuclei whose centroid lies in the cell.
    cell_um : float
        Side of a cell, um; those along the far edges may reach beyond the image.
    size_um : (float, float)
        (height, width) of the image, um.
    """

    counts: NDArray[np.int64]
    cell_um: float
    size_um: tuple[float, float]

    @property
    def nuclei(self) -> int:
        """Number of nuclei."""
        return int(self.counts.sum())

    def per_mm2(self) -> NDArray[np.float64]:
        """Return nuclei per mm2 (h, w), smoothed; what lies outside the image counts nothing."""
        inside = [
            np.minimum(self.cell_um, size - self.cell_um * np.arange(cells))
            for size, cells in zip(self.size_um, self.counts.shape, strict=True)
        ]
        area_mm2 = np.outer(*inside) / _UM2_PER_MM2
        return _smooth(self.counts) / _smooth(area_mm2)


def count_density(pieces: Iterable[pa.Table], size_um: tuple[float, float]) -> Density:
    """Count nuclei on a grid whose cells are a 256th of the image's long side, 20 um at least.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        The nuclei, by ``nuguide.nuclei.schema.SCHEMA``, its columns ``COUNTED`` at least; never
        held all at once.
    size_um : (float, float)
        (height, width) of the image, um.
    """
    cell_um = max(_SMALLEST_CELL_UM, max(size_um) / _CELLS_ALONG)
    height, width = (max(1, math.ceil(length / cell_um)) for length in size_um)
    counts = np.zeros(height * width, np.int64)
    for nuclei in pieces:
        # A centroid may lie on the far edge itself.
        y = _cells(nuclei[COUNTED[0]], cell_um, height)
        x = _cells(nuclei[COUNTED[1]], cell_um, width)
        counts += np.bincount(y * width + x, minlength=counts.size)
    return Density(counts.reshape(height, width), cell_um, size_um)


def _cells(centroid_um: pa.ChunkedArray, cell_um: float, cells: int) -> NDArray[np.int64]:
    return np.clip(centroid_um.to_numpy() / cell_um, 0, cells - 1).astype(np.int64)


def _smooth(values: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = ndimage.gaussian_filter(
        values.astype(np.float64), _SMOOTHING_CELLS, mode="constant", truncate=3.0
    )
    return np.asarray(smoothed)

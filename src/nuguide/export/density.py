"""How many nuclei lie where: counts on a coarse grid, from nuclei that stream by."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import ndimage

from nuguide.slides.regions import Box
from nuguide.slides.tissue import Tissue

_CELLS_ALONG = 256
_SMALLEST_CELL_UM = 20.0  # two or three nuclei wide: less would show nuclei, not their density
_SMOOTHING_CELLS = 1.5
_FEWEST_FOR_A_SHARE = 10  # of fewer nuclei nearby, a share would be noise
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
    searched : ndarray or None
        (h, w) float64, the share of each cell that was looked at, 0 to 1; None: the whole image.
    """

    counts: NDArray[np.int64]
    cell_um: float
    size_um: tuple[float, float]
    searched: NDArray[np.float64] | None = None

    @property
    def nuclei(self) -> int:
        """Number of nuclei."""
        return int(self.counts.sum())

    def per_mm2(self) -> NDArray[np.float64]:
        """Return nuclei per mm2 (h, w), smoothed; cells of which nothing was searched have 0.

        Both nuclei and the area they were looked for in are smoothed, so that the density does not
        fall towards the edge of that area.
        """
        area_mm2 = self._area_mm2()
        smoothed = _smooth(self.counts)
        return np.divide(
            smoothed, _smooth(area_mm2), out=np.zeros_like(smoothed), where=area_mm2 > 0
        )

    def share_of(self, whole: "Density") -> NDArray[np.float64]:
        """Return which share of another's nuclei these are, (h, w) from 0 to 1, smoothed.

        nan where fewer than ten of all nuclei are nearby.

        Parameters
        ----------
        whole : Density
            Of all nuclei, these among them, on the same grid.
        """
        nearby = _smooth(whole.counts) * 4 * math.pi * _SMOOTHING_CELLS**2
        share = np.full(nearby.shape, np.nan)
        enough = nearby >= _FEWEST_FOR_A_SHARE
        np.divide(_smooth(self.counts), _smooth(whole.counts), out=share, where=enough)
        return share

    def _area_mm2(self) -> NDArray[np.float64]:
        """Return the area of each cell that was searched, mm2."""
        if self.searched is not None:
            return self.searched * (self.cell_um**2 / _UM2_PER_MM2)
        inside = [
            np.minimum(self.cell_um, size - self.cell_um * np.arange(cells))
            for size, cells in zip(self.size_um, self.counts.shape, strict=True)
        ]
        return np.outer(*inside) / _UM2_PER_MM2


def count_density(
    pieces: Iterable[pa.Table],
    size_um: tuple[float, float],
    tissue: Tissue | None = None,
) -> Density:
    """Count nuclei on a grid whose cells are a 256th of the image's long side, 20 um at least.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        The nuclei, by ``nuguide.nuclei.schema.SCHEMA``, its columns ``COUNTED`` at least; never
        held all at once.
    size_um : (float, float)
        (height, width) of the image, um.
    tissue : Tissue, optional
        What was searched; left out, the whole image was.
    """
    cell_um = max(_SMALLEST_CELL_UM, max(size_um) / _CELLS_ALONG)
    height, width = (max(1, math.ceil(length / cell_um)) for length in size_um)
    counts = np.zeros(height * width, np.int64)
    for nuclei in pieces:
        # A centroid may lie on the far edge itself.
        y = _cells(nuclei[COUNTED[0]], cell_um, height)
        x = _cells(nuclei[COUNTED[1]], cell_um, width)
        counts += np.bincount(y * width + x, minlength=counts.size)
    searched = None
    if tissue is not None:
        cells = [Box(row, column, 1, 1) for row, column in np.ndindex(height, width)]
        searched = tissue.shares(cells, cell_um).reshape(height, width)
    return Density(counts.reshape(height, width), cell_um, size_um, searched)


def _cells(centroid_um: pa.ChunkedArray, cell_um: float, cells: int) -> NDArray[np.int64]:
    return np.clip(centroid_um.to_numpy() / cell_um, 0, cells - 1).astype(np.int64)


def _smooth(values: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    smoothed = ndimage.gaussian_filter(
        values.astype(np.float64), _SMOOTHING_CELLS, mode="constant", truncate=3.0
    )
    return np.asarray(smoothed)

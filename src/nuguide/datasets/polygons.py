"""Polygons to instance maps."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

Ring = NDArray[np.float64]
"""(N, 2) vertices (x, y) in px; whole numbers are the middles of pixels."""


@dataclass(frozen=True)
class Outline:
    """One nucleus: its pieces, each an outer ring and the rings of its holes."""

    pieces: tuple[tuple[Ring, ...], ...]

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest (x, y) of the outer rings, of which there is one at least."""
        outer = np.concatenate([piece[0] for piece in self.pieces])
        return outer.min(axis=0), outer.max(axis=0)

    def moved(self, x: float, y: float) -> "Outline":
        """Return the outline moved by so many px."""
        return Outline(
            tuple(tuple(np.add(ring, (x, y)) for ring in piece) for piece in self.pieces)
        )


def rasterise(outlines: Iterable[Outline], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Number the pixels whose middle lies inside an outline.

    Parameters
    ----------
    outlines : iterable of Outline
        The n-th becomes the instance n, from 1.
    shape : (int, int)
        (H, W); what lies outside is cut off.

    Returns
    -------
    ndarray
        (H, W) int32. Where outlines overlap, the first keeps the pixel, so one that lies inside
        another is lost.
    """
    labels = np.zeros(shape, np.int32)
    for number, outline in enumerate(outlines, start=1):
        for outer, *holes in outline.pieces:
            box = _box(outer, shape)
            if box is None:
                continue
            inside = _fill(outer, box)
            for hole in holes:
                inside &= ~_fill(hole, box)
            part = labels[box]
            part[inside & (part == 0)] = number
    return labels


def _box(ring: Ring, shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Return the part of the map that a ring can touch, None if there is none."""
    if len(ring) < 3 or not np.isfinite(ring).all():
        return None
    low = np.maximum(np.floor(ring.min(axis=0)), 0)
    high = np.minimum(np.ceil(ring.max(axis=0)) + 1, shape[::-1])
    if (low >= high).any():
        return None
    (left, top), (right, bottom) = low.astype(int), high.astype(int)
    return slice(top, bottom), slice(left, right)


def _fill(ring: Ring, box: tuple[slice, slice]) -> NDArray[np.bool_]:
    rows, columns = box
    size = (rows.stop - rows.start, columns.stop - columns.start)
    return np.asarray(polygon2mask(size, ring[:, ::-1] - (rows.start, columns.start)), bool)

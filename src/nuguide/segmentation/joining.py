"""From the nuclei of each region to those of the image: doubles dropped, numbered, painted.

Regions are computed in whatever order and are joined in the order of the plan, so the result does
not depend on who computed what when. Only the nuclei at the borders of earlier regions are kept
in memory, and the label map is touched window by window.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from nuguide.export.label_pyramid import CHUNK_PX
from nuguide.nuclei.polygons import Polygons
from nuguide.segmentation.runs import RUNS, box_of, check_inside, paint
from nuguide.segmentation.seams import MARGIN_PX
from nuguide.slides.regions import Box, Region


class Canvas(Protocol):
    """A label map of the whole image that is read and written by windows, px of the image."""

    @property
    def shape(self) -> tuple[int, int]:
        """Its size, (H, W)."""
        ...

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[np.int32]:
        """Return a window, (height, width) int32."""
        ...

    def write(self, y: int, x: int, labels: NDArray[np.int32]) -> None:
        """Put a window in its place."""
        ...


class ArrayCanvas:
    """A canvas in memory, for images that lie there too.

    Attributes
    ----------
    labels : ndarray
        (H, W) int32, blank at first.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels = np.zeros(shape, np.int32)

    @property
    def shape(self) -> tuple[int, int]:
        """Its size, (H, W)."""
        return self.labels.shape[0], self.labels.shape[1]

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[np.int32]:
        """Return a copy of a window."""
        return self.labels[y : y + height, x : x + width].copy()

    def write(self, y: int, x: int, labels: NDArray[np.int32]) -> None:
        """Put a window in its place."""
        self.labels[y : y + labels.shape[0], x : x + labels.shape[1]] = labels


def join(
    fragments: Iterable[tuple[Region, pa.Table]], scale: float, canvas: Canvas | None = None
) -> Iterator[pa.Table]:
    """Join the nuclei of an image's regions.

    Parameters
    ----------
    fragments : iterable
        Regions in the order of the plan, and the nuclei each claims: ``SCHEMA`` and ``RUNS``.
    scale : float
        Model px per image px.
    canvas : Canvas, optional
        Gets the label map: row i of what is yielded, counted over all pieces, is label i + 1.
        Where two nuclei overlap the earlier one keeps the pixels.

    Yields
    ------
    pyarrow.Table
        By ``SCHEMA``, a piece for each region that owns nuclei.
    """
    borders: list[_Border] = []
    found = 0
    for region, claimed in fragments:
        outlines = claimed["geometry"].combine_chunks()
        at_border = _reaches_border(Polygons.from_wkb(outlines), region.core, scale)
        borders = [border for border in borders if border.bottom > region.row_y]
        near = shapely.from_wkb(outlines.filter(pa.array(at_border)).to_numpy(zero_copy_only=False))
        kept_near = ~_doubled(near, borders)
        borders.append(_Border(region.read.y + region.read.height, near[kept_near]))
        kept = ~at_border
        kept[at_border] = kept_near
        nuclei = claimed.filter(pa.array(kept))
        if not nuclei.num_rows:
            continue
        if canvas is not None:
            _paint(canvas, nuclei[RUNS.name].combine_chunks(), found + 1)
        found += nuclei.num_rows
        yield nuclei.drop_columns([RUNS.name])


@dataclass(frozen=True)
class _Border:
    """The outlines near the borders of a region that is joined; its read box ends at ``bottom``."""

    bottom: int
    outlines: NDArray[np.object_]


def _reaches_border(outlines: Polygons, core: Box, scale: float) -> NDArray[np.bool_]:
    """Tell which nuclei another region may have claimed too, or part of them.

    Of two regions' claims one can only fall for the most part on the other where both centroids
    are within the margin of the border between the cores.
    """
    left, top, right, bottom = outlines.bounds().T * scale
    margin = 2 * MARGIN_PX
    inside = (left > core.x + margin) & (right < core.x + core.width - margin)
    inside &= (top > core.y + margin) & (bottom < core.y + core.height - margin)
    return np.asarray(~inside, np.bool_)


def _doubled(outlines: NDArray[np.object_], borders: list[_Border]) -> NDArray[np.bool_]:
    """Tell which nuclei fall for the most part on those that earlier regions own."""
    owned = [border.outlines for border in borders if border.outlines.size]
    if not outlines.size or not owned:
        return np.zeros(len(outlines), np.bool_)
    earlier = np.concatenate(owned)
    theirs, mine = shapely.STRtree(outlines).query(earlier, predicate="intersects")
    shared = shapely.area(shapely.intersection(outlines[mine], earlier[theirs]))
    covered = np.bincount(mine, weights=shared, minlength=len(outlines))
    return np.asarray(2 * covered >= shapely.area(outlines), np.bool_)


def _paint(canvas: Canvas, runs: pa.ListArray, first: int) -> None:
    """Paint nuclei, numbered from ``first`` on, where the canvas is still blank."""
    check_inside(runs, canvas.shape)
    box = box_of(runs)
    bottom = box.y + box.height
    # A row of chunks at a time: a canvas on disk holds several copies of what is read at once.
    for y in range(box.y // CHUNK_PX * CHUNK_PX, bottom, CHUNK_PX):
        top, end = max(y, box.y), min(y + CHUNK_PX, bottom)
        window = canvas.read(top, box.x, end - top, box.width)
        paint(runs, window, (top, box.x), first)
        canvas.write(top, box.x, window)

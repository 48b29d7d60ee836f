"""The one grid: regions that tile an image, each read with a halo of its surroundings."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows y to y + height, columns x to x + width."""

    y: int
    x: int
    height: int
    width: int

    def part(self, window: tuple[slice, slice]) -> "Box":
        """Return the part of the box that a window of an array of its size shows."""
        (top, bottom, _), (left, right, _) = (
            side.indices(length)
            for side, length in zip(window, (self.height, self.width), strict=True)
        )
        return Box(self.y + top, self.x + left, bottom - top, right - left)


@dataclass(frozen=True)
class Region:
    """A piece of the image that is segmented at once.

    Attributes
    ----------
    index : int
        Its place in the plan, row by row.
    core : Box
        What it owns: the cores cover what is wanted of the image and do not overlap. Model px.
    read : Box
        What is read for it: the core and a halo around it. Where the image ends there is nothing
        to see, so there it ends too, rounded up to the grid. Model px.
    row_y : int
        Where its row of the plan begins, model px; the core may begin below.
    """

    index: int
    core: Box
    read: Box
    row_y: int


def plan_regions(
    shape_px: tuple[int, int],
    size: int = 1024,
    halo: int = 64,
    grid_px: int = 64,
    offset: int = 0,
    wanted: Callable[[Box], Box | None] | None = None,
) -> list[Region]:
    """Tile an image, or what is wanted of it, with regions on one grid anchored at its origin.

    ::

        (0, 0)          size
          +---------------+---------------+----
          |    core 0     |    core 1     |
          |        +......|...............|......+
          |        :      |               |      :   ..... what is read for core 4:
          +--------:------+---------------+------:      the core and its halo
          |        :      |    core 4     |      :
          |        : halo |               | halo :

    Every corner that is read is a multiple of ``grid_px``, and so is every size read, so that
    the windows of attention and the fields of a guide fall on the same tissue whichever region
    reads it.

    Parameters
    ----------
    shape_px : tuple of int
        (H, W) of the image at the model's scale, px.
    size, halo : int
        Side of a core, and width of the margin read around it, px; multiples of ``grid_px``.
    grid_px : int
        Step of the grid, px.
    offset : int
        Where the second row and column of cores begin, px, below ``size``; 0: the first are
        whole. A multiple of ``grid_px``.
    wanted : callable, optional
        The part of a box that is wanted, px; None if nothing of it is. A core is narrowed to that,
        to lines of the grid, or left out.

    Returns
    -------
    list of Region
        Row by row, numbered as if all were wanted; the cores of the last row and column end with
        the image.

    Raises
    ------
    ValueError
        If a size is not a multiple of the grid, or the image has no pixel.
    """
    height, width = shape_px
    on_grid = grid_px >= 1 and not any(length % grid_px for length in (size, halo, offset))
    if not on_grid or size < 1 or halo < 0 or not 0 <= offset < size:
        raise ValueError(
            f"size {size} px, halo {halo} px and offset {offset} px do not lie on a grid of "
            f"{grid_px} px; expected multiples of it, the offset below the size; round them"
        )
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} px has no region; expected 1 px or more")
    rows, columns = (_spans(length, size, offset) for length in (height, width))
    regions = []
    for index, ((y, tall), (x, wide)) in enumerate(product(rows, columns)):
        core: Box | None = Box(y, x, tall, wide)
        if wanted is not None:
            core = _narrowed(Box(y, x, tall, wide), wanted(Box(y, x, tall, wide)), grid_px)
        if core is None:
            continue
        top, bottom = _with_halo(core.y, core.height, height, halo, grid_px)
        left, right = _with_halo(core.x, core.width, width, halo, grid_px)
        regions.append(Region(index, core, Box(top, left, bottom - top, right - left), y))
    return regions


def _narrowed(cell: Box, part: Box | None, step: int) -> Box | None:
    """Return the part of a cell of the plan, grown to lines of the grid within it."""
    if part is None:
        return None
    top, left = part.y // step * step, part.x // step * step
    bottom = min(-(-(part.y + part.height) // step) * step, cell.y + cell.height)
    right = min(-(-(part.x + part.width) // step) * step, cell.x + cell.width)
    return Box(top, left, bottom - top, right - left)


def _spans(length: int, size: int, offset: int) -> list[tuple[int, int]]:
    """Cut a length into (start, length) of ``size``; the first has ``offset``, if not 0."""
    borders = [0, *range(offset or size, length, size), length]
    return [(start, end - start) for start, end in pairwise(borders)]


def _with_halo(start: int, length: int, end: int, halo: int, step: int) -> tuple[int, int]:
    """Return where a core with its halo begins and ends along one axis of an image."""
    last = min(start + length + halo, end)
    return max(0, start - halo), -(-last // step) * step

"""The one grid: regions that tile an image, each read with a halo of its surroundings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows y to y + height, columns x to x + width."""

    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class Region:
    """A piece of the image that is segmented at once.

    Attributes
    ----------
    index : int
        Its place in the plan, row by row.
    core : Box
        What it owns: the cores cover the image and do not overlap. Model px.
    read : Box
        What is read for it: the core, rounded up to the grid, and the halo on all sides; may
        reach outside the image. Model px.
    """

    index: int
    core: Box
    read: Box


def plan_regions(
    shape_px: tuple[int, int], size: int = 1024, halo: int = 64, grid_px: int = 64
) -> list[Region]:
    """Tile an image with regions on one grid anchored at its origin.

    ::

        (0, 0)          size
          +---------------+---------------+----
          |    core 0     |    core 1     |
          |        +......|...............|......+
          |        :      |               |      :   ..... what is read for core 3:
          +--------:------+---------------+------:      the core and its halo
          |        :      |    core 3     |      :
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

    Returns
    -------
    list of Region
        Row by row; the cores of the last row and column end with the image.

    Raises
    ------
    ValueError
        If a size is not a multiple of the grid, or the image has no pixel.
    """
    height, width = shape_px
    if grid_px < 1 or size < 1 or halo < 0 or size % grid_px or halo % grid_px:
        raise ValueError(
            f"size {size} px and halo {halo} px do not lie on a grid of {grid_px} px; "
            "expected multiples of it; round them"
        )
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} px has no region; expected 1 px or more")
    corners = [(y, x) for y in range(0, height, size) for x in range(0, width, size)]
    regions = []
    for index, (y, x) in enumerate(corners):
        core = Box(y, x, min(size, height - y), min(size, width - x))
        read = Box(
            y - halo,
            x - halo,
            _rounded_up(core.height, grid_px) + 2 * halo,
            _rounded_up(core.width, grid_px) + 2 * halo,
        )
        regions.append(Region(index, core, read))
    return regions


def _rounded_up(length: int, step: int) -> int:
    return -(-length // step) * step

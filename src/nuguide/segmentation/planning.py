"""The plan of a slide: how it is cut into regions, on the grid of its model."""

import math
from dataclasses import dataclass
from typing import Self

from nuguide.models.model import Model
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Region, plan_regions
from nuguide.slides.tissue import Tissue


@dataclass(frozen=True)
class Cut:
    """How a slide is cut into regions, px of the model.

    Attributes
    ----------
    size_px : int
        Side of a region's core.
    halo_px : int
        What is read around it: as far as what lies there changes a nucleus in the core.
    offset_px : int
        Where the second row and column of cores begin; 0: the first are whole.
    """

    size_px: int = 1024
    halo_px: int = 96
    offset_px: int = 0

    def on_grid(self, step: int) -> Self:
        """Round all sizes up to multiples of ``step``."""
        sizes = (self.size_px, self.halo_px, self.offset_px)
        return type(self)(*(-(-px // step) * step for px in sizes))


def cut_for(model: Model, cut: Cut | None = None) -> Cut:
    """Return a cut, or the usual one, on the grid of a model."""
    return (cut or Cut()).on_grid(grid_px(model))


def plan(slide: Slide, model: Model, cut: Cut, mask: Tissue | None = None) -> list[Region]:
    """Tile a slide, or the tissue of a mask, with regions.

    A region of which the mask holds a part alone is narrowed to it: what lies outside is not in
    the result, and its pixels would cost as much as any others.
    """
    mpp = model.card.mpp
    wanted = None if mask is None else lambda box: mask.bounds(box, mpp)
    return plan_regions(
        slide.shape_at(mpp), cut.size_px, cut.halo_px, grid_px(model), cut.offset_px, wanted
    )


def grid_px(model: Model) -> int:
    """Return the step of the model's grid: windows, tiles and guide fields begin at its lines."""
    steps = [getattr(model.network, "grid_px", 16), model.card.tile_px or 1]
    if model.guide is not None and model.guide.field_um is not None:
        steps.append(round(model.guide.field_um / model.card.mpp))
    return math.lcm(*steps)

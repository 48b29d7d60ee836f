"""What segmenting a slide would take: its regions, and the time of a few of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from nuguide.models.model import Model
from nuguide.segmentation.area import Area
from nuguide.segmentation.planning import cut_for, plan
from nuguide.segmentation.region import Task, segment_region
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Region

MEASURED = 2
"""Regions that are segmented to time them, after one that warms up."""


@dataclass(frozen=True)
class Estimate:
    """How long a slide would take here.

    Attributes
    ----------
    seconds : float
        For all regions, s: reading, network, decoding and measuring one after the other. The real
        run overlaps them and writes files besides.
    measured : int
        Regions it was measured on.
    """

    seconds: float
    measured: int


def regions_of(slide: Slide, area: Area, model: Model) -> tuple[list[Region], int]:
    """Return the regions of a slide that would be segmented, and how many its plan has in all."""
    cut = cut_for(model)
    return plan(slide, model, cut, area.mask), len(plan(slide, model, cut))


def estimate(slide: Slide, area: Area, model: Model, regions: Sequence[Region]) -> Estimate:
    """Time a few of the regions that hold most tissue, and reckon all by their size.

    Parameters
    ----------
    slide : Slide
        The image.
    area : Area
        What is looked at of it.
    model : Model
        On the device it would run on.
    regions : sequence of Region
        Those that would be segmented.
    """
    if not regions:
        return Estimate(0.0, 0)
    fullest = sorted(regions, key=lambda region: -_tissue_px(region, area, model.card.mpp))
    # From the fuller half, far from each other: tissue differs from place to place.
    half = fullest[: (len(fullest) + 1) // 2]
    timed = [half[len(half) * place // MEASURED] for place in range(min(MEASURED, len(half)))]
    segment_region(Task(slide, timed[-1]), model)
    start = time.perf_counter()
    for region in timed:
        segment_region(Task(slide, region), model)
    seconds = time.perf_counter() - start
    share = sum(map(_read_px, regions)) / sum(map(_read_px, timed))
    return Estimate(seconds * share, len(timed))


def _tissue_px(region: Region, area: Area, mpp: float) -> float:
    share = 1.0 if area.mask is None else area.mask.share(region.core, mpp)
    return share * region.core.height * region.core.width


def _read_px(region: Region) -> int:
    return region.read.height * region.read.width

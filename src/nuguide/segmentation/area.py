"""Which part of an image is looked at, and why nothing may have been found there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nuguide.slides.reader import Slide
from nuguide.slides.roi import read_roi
from nuguide.slides.tissue import Tissue, all_tissue, find_tissue


@dataclass(frozen=True)
class Where:
    """What a user wants to have looked at.

    Attributes
    ----------
    tissue : bool
        Whether to look for tissue in whole slides; False takes all of each.
    threshold : float, optional
        Optical density from which something is tissue; given, any image is searched.
    roi : Path, optional
        GeoJSON: only nuclei inside its polygons are wanted.
    """

    tissue: bool = True
    threshold: float | None = None
    roi: Path | None = None


@dataclass(frozen=True)
class Area:
    """The part of an image that is looked at.

    Attributes
    ----------
    mask : Tissue or None
        A nucleus belongs to the result if its centroid lies here; None: the whole image.
    searched : bool
        Whether it is where tissue was found.
    roi : bool
        Whether it is inside a region of interest.
    tissue : Tissue or None
        Where tissue was found, outside of the region of interest too; None: not looked for.
    """

    mask: Tissue | None = None
    searched: bool = False
    roi: bool = False
    tissue: Tissue | None = None

    def of(self, nuclei: pa.Table, mpp: float) -> pa.Table:
        """Return the nuclei whose centroid lies in it; ``mpp`` is the image's own, um/px."""
        if self.mask is None:
            return nuclei
        y, x = (nuclei[f"centroid_{axis}_px"].to_numpy() for axis in "yx")
        return nuclei.filter(pa.array(self.mask.covers(y, x, mpp)))

    def configuration(self) -> dict[str, Any]:
        """Return what decides the result, as it stands in ``run.toml``."""
        if self.mask is None:
            return {"area": "whole image"}
        names = {(False, True): "region of interest", (True, False): "tissue"}
        roi = self.mask.roi
        return {
            "area": names.get((self.searched, self.roi), "tissue in the region of interest"),
            "tissue_threshold": round(self.mask.threshold, 6),
            "area_mm2": round(self.mask.area_mm2, 6),
            "mask_sha256": hashlib.sha256(np.packbits(self.mask.reach).tobytes()).hexdigest(),
            **({} if roi is None else {"roi_sha256": roi.sha256}),
        }


def find_area(slide: Slide, where: Where) -> Area:
    """Find what is to be looked at of an image.

    Tissue is looked for in whole slides, not in images that lie in memory: these are fields that
    somebody chose.

    Raises
    ------
    InputError
        If the threshold or the region of interest makes no sense for the image.
    """
    searched = where.tissue and (slide.streams or where.threshold is not None)
    if not searched and where.roi is None:
        return Area()
    tissue = find_tissue(slide, where.threshold) if searched else None
    mask = tissue or all_tissue(slide)
    if where.roi is not None:
        mask = mask.within(read_roi(where.roi, slide))
    return Area(mask, searched, where.roi is not None, tissue)


def why_nothing(slide: Slide, area: Area) -> str:
    """Say why an image has no nucleus."""
    if area.mask is not None and not area.mask.reach.any():
        place = "in the region of interest" if area.roi else "on the slide"
        return (
            f"no tissue was found {place} at a threshold of {area.mask.threshold:.3f}; look at it, "
            "and try a lower --tissue-threshold, or --no-tissue to take all of it"
        )
    pixels = slide.thumbnail()
    if int(pixels.max()) - int(pixels.min()) < 10:
        return "the image is blank: it has a single colour"
    return (
        "no pixel reached the threshold of a nucleus; check the microns per pixel "
        f"({slide.mpp:g}, from {slide.mpp_source}) and the stain"
    )

"""Microns per pixel and objective of a TIFF: OME's XML, vendors' descriptions, resolution tags."""

import re
from typing import Any

import tifffile

from nuguide.slides.ome import ome_power, ome_scale
from nuguide.slides.scale import UM_PER_UNIT, Scale, leading_number, plausible_scale

_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}  # inch, cm, mm, um


def told_scales(tiff: tifffile.TiffFile, page: Any) -> tuple[Scale, ...]:
    """List the um/px that a file tells of one of its pages, the most trustworthy first."""
    told = (
        ome_scale(tiff, page) if tiff.is_ome else None,
        _from_description(str(page.description)),
        _from_resolution(tiff, page),
    )
    return tuple(scale for scale in told if scale is not None)


def told_power(tiff: tifffile.TiffFile, page: Any) -> float | None:
    """Return the objective's nominal magnification, if the file tells it."""
    if tiff.is_ome:
        return ome_power(tiff, page)
    return _described("AppMag", str(page.description))


def _from_description(text: str) -> Scale | None:
    mpp = _described("MPP", text)
    return None if mpp is None else plausible_scale(mpp, mpp, "TIFF description")


def _described(key: str, text: str) -> float | None:
    """Read Aperio's way of telling numbers, which other programs copy: ``|MPP = 0.2525|``."""
    found = re.search(rf"\b{key}\s*=\s*", text)
    return leading_number(text[found.end() :]) if found else None


def _from_resolution(tiff: tifffile.TiffFile, page: Any) -> Scale | None:
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    per_unit = [_ratio(tags[key].value) for key in ("XResolution", "YResolution")]
    if min(per_unit) <= 0.0:
        return None
    unit = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2
    um = _UM_PER_RESOLUTION_UNIT.get(unit)
    if um is None and tiff.is_imagej:
        # ImageJ names its unit in the description and leaves the tag's unit "none".
        um = UM_PER_UNIT.get(str((tiff.imagej_metadata or {}).get("unit")).lower())
    if um is None:
        return None
    return plausible_scale(um / per_unit[0], um / per_unit[1], "TIFF resolution tags")


def _ratio(value: tuple[int, int]) -> float:
    numerator, denominator = value
    return numerator / denominator if denominator else 0.0

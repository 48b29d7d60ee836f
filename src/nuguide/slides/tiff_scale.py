"""Microns per pixel and objective of a TIFF: OME's XML, vendors' descriptions, resolution tags."""

import re
from typing import Any

import tifffile

from nuguide.safe_xml import parse_text
from nuguide.slides.scale import UM_PER_UNIT, Scale, plausible_scale

_UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}  # inch, cm, mm, um
_NUMBER = r"\s*=\s*(\d+(?:\.\d+)?)"


def told_scales(tiff: tifffile.TiffFile, page: Any) -> tuple[Scale, ...]:
    """List the um/px that a file tells of one of its pages, the most trustworthy first."""
    told = (
        _from_ome(tiff.ome_metadata) if tiff.is_ome and tiff.ome_metadata else None,
        _from_description(str(page.description)),
        _from_resolution(tiff, page),
    )
    return tuple(scale for scale in told if scale is not None)


def told_power(tiff: tifffile.TiffFile, page: Any) -> float | None:
    """Return the objective's nominal magnification, if the file tells it."""
    if tiff.is_ome and tiff.ome_metadata:
        for element in parse_text(tiff.ome_metadata).iter():
            if element.tag.endswith("}Objective") or element.tag == "Objective":
                power = element.get("NominalMagnification")
                return float(power) if power else None
    found = re.search(r"\bAppMag" + _NUMBER, str(page.description))
    return float(found[1]) if found else None


def _from_description(text: str) -> Scale | None:
    """Read Aperio's way of telling it, which other programs copy: ``|MPP = 0.2525|``."""
    found = re.search(r"\bMPP" + _NUMBER, text)
    return plausible_scale(float(found[1]), float(found[1]), "TIFF description") if found else None


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


def _from_ome(xml: str) -> Scale | None:
    for element in parse_text(xml).iter():
        if element.tag.endswith("}Pixels") or element.tag == "Pixels":
            sizes = []
            for axis in "XY":
                um = UM_PER_UNIT.get(element.get(f"PhysicalSize{axis}Unit", "µm").lower())
                size = element.get(f"PhysicalSize{axis}")
                if size is None or um is None:
                    return None
                sizes.append(float(size) * um)
            return plausible_scale(sizes[0], sizes[1], "OME metadata")
    return None

"""Vendors' slides, read by OpenSlide: SVS, NDPI, MRXS, SCN, BIF, DICOM and others."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openslide

from nuguide.errors import InputError
from nuguide.slides.decoded import MAX_SLIDE_PIXELS, MAX_TILE_PIXELS, check_extent
from nuguide.slides.levels import Level, Pixels, Stored, downsample_of
from nuguide.slides.scale import (
    UM_PER_UNIT,
    Scale,
    finite_number,
    leading_number,
    plausible_scale,
)

WHITE = 255
DEFAULT_TILE_PX = 512

_MPP_KEYS = (
    ("openslide.mpp-x", "openslide.mpp-y"),
    ("aperio.MPP", "aperio.MPP"),
    ("mirax.LAYER_0_LEVEL_0_SECTION.MICROMETER_PER_PIXEL_X",) * 2,
)
_POWER_KEYS = ("openslide.objective-power", "aperio.AppMag", "hamamatsu.SourceLens")


def vendor_of(path: Path) -> str | None:
    """Return the vendor whose slide ``path`` is, or None: then tifffile or Pillow reads it.

    Generic tiled TIFFs are left to tifffile, which also knows OME's metadata and sub-IFDs.
    """
    try:
        vendor = openslide.OpenSlide.detect_format(str(path))
    except (openslide.OpenSlideError, ValueError):  # ValueError: a name with a null byte
        return None
    return None if vendor == "generic-tiff" else vendor


def open_vendor(path: Path, vendor: str) -> Stored:
    """Open a vendor's slide.

    Raises
    ------
    InputError
        If OpenSlide cannot open it, or it is too small or too large.
    """
    try:
        slide = openslide.OpenSlide(str(path))
    except (openslide.OpenSlideError, OSError) as fault:
        raise InputError(
            f"{path.name} cannot be opened as a slide of {vendor} ({_one_line(fault)}); "
            "expected a whole slide with all its files; copy or export it again"
        ) from fault
    levels = OpenSlideLevels(slide, path.name)
    about: Mapping[str, str] = slide.properties
    return Stored(
        levels=levels,
        scales=_told_scales(about),
        vendor=vendor,
        objective_power=next(
            filter(None, (leading_number(about.get(key)) for key in _POWER_KEYS)), None
        ),
        offset_px=(levels.offset_px[0], levels.offset_px[1]),
    )


class OpenSlideLevels:
    """The levels of a slide that OpenSlide has opened.

    Scanners that stitch scattered fields (MRXS, BIF) tell a bounding box of what was scanned; the
    image is that box, as QuPath shows it, so that coordinates fit there.

    Attributes
    ----------
    offset_px : tuple of int
        (y, x) of the box in the scanner's frame, full-resolution px.
    """

    in_memory = False

    def __init__(self, slide: openslide.OpenSlide, name: str) -> None:
        self._slide = slide
        self._name = name
        about = slide.properties
        full = (slide.dimensions[1], slide.dimensions[0])
        top, left, height, width = _bounds(about, full)
        check_extent(height, width, name, MAX_SLIDE_PIXELS)
        self.offset_px = (top, left)
        levels = []
        self._corners = []
        for index, (wide, tall) in enumerate(slide.level_dimensions):
            downsample = downsample_of(full, (tall, wide))
            corner = (top / downsample[0], left / downsample[1])
            first = (math.floor(corner[0]), math.floor(corner[1]))
            end = (
                min(tall, math.ceil((top + height) / downsample[0])),
                min(wide, math.ceil((left + width) / downsample[1])),
            )
            self._corners.append(first)
            levels.append(
                Level(
                    shape=(end[0] - first[0], end[1] - first[1]),
                    downsample=downsample,
                    tile=_tile(about, index),
                    phase=(corner[0] - first[0], corner[1] - first[1]),
                )
            )
        self.levels = tuple(levels)

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Read a box of a level; what was not scanned is white."""
        top, left = self._corners[level]
        # OpenSlide asks for the corner at full resolution, by its own quotient of the sizes.
        step = self._slide.level_downsamples[level]
        corner = (round((left + x) * step), round((top + y) * step))
        try:
            rgba = np.asarray(self._slide.read_region(corner, level, (width, height)))
        except (openslide.OpenSlideError, OSError, ValueError) as fault:
            raise InputError(
                f"{self._name} cannot be read at {corner[0]}, {corner[1]} px "
                f"({_one_line(fault)}); expected a whole slide that stays in its place; "
                "copy it again"
            ) from fault
        return _over_white(rgba)

    def close(self) -> None:
        """Close the slide; no read may be under way."""
        self._slide.close()


def _over_white(rgba: Pixels) -> Pixels:
    colour = np.ascontiguousarray(rgba[..., :3])
    opacity = rgba[..., 3:]
    if int(opacity.min()) == WHITE:
        return colour
    share = opacity.astype(np.float32) / WHITE
    return np.rint(colour * share + WHITE * (1.0 - share)).astype(np.uint8)


def _bounds(about: Mapping[str, str], full: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (y, x, height, width) of what was scanned, within the frame."""
    told = [
        finite_number(about.get(f"openslide.bounds-{key}")) for key in ("y", "x", "height", "width")
    ]
    if any(value is None for value in told):
        return 0, 0, *full
    top, left, height, width = (int(value or 0) for value in told)
    top, left = max(0, top), max(0, left)
    height, width = min(height, full[0] - top), min(width, full[1] - left)
    return (top, left, height, width) if height > 0 and width > 0 else (0, 0, *full)


def _tile(about: Mapping[str, str], level: int) -> tuple[int, int]:
    sides = [
        finite_number(about.get(f"openslide.level[{level}].tile-{key}"))
        for key in ("height", "width")
    ]
    tall, wide = (int(side) if side and side >= 1 else DEFAULT_TILE_PX for side in sides)
    # Files may call a whole strip a tile; OpenSlide cuts it itself.
    return (tall, wide) if tall * wide <= MAX_TILE_PIXELS // 16 else (DEFAULT_TILE_PX,) * 2


def _told_scales(about: Mapping[str, str]) -> tuple[Scale, ...]:
    told = [
        (
            finite_number(about.get(across)),
            finite_number(about.get(down)),
            f"{across.removesuffix('-x')}",
        )
        for across, down in _MPP_KEYS
    ]
    told.append((*_from_resolution(about), "TIFF resolution tags"))
    scales = [plausible_scale(x, y, source) for x, y, source in told if x and y]
    return tuple(scale for scale in scales if scale is not None)


def _from_resolution(about: Mapping[str, str]) -> tuple[float | None, float | None]:
    um = UM_PER_UNIT.get(about.get("tiff.ResolutionUnit", "").lower())
    per_unit = [finite_number(about.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    if um is None or not all(per_unit):
        return None, None
    across, down = (um / value for value in per_unit if value)
    return across, down


def _one_line(fault: BaseException) -> str:
    return " ".join(str(fault).split()) or type(fault).__name__

"""From objects of QuPath and an image to a sample: the whole image, or one area of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.folder import Row
from nuguide.datasets.pictures import MAX_PIXELS, read_rgb
from nuguide.datasets.polygons import Outline, rasterise
from nuguide.datasets.qupath_geojson import Drawn
from nuguide.errors import DataSetError, InputError
from nuguide.slides.reader import open_slide
from nuguide.units import checked_mpp

IGNORE, REGION = "Ignore*", "Region*"

MARGIN_UM = 32.0
"""Tissue around an annotated area that a network is shown, and neither learns nor is scored on."""

Rgb = NDArray[np.uint8]
Place = tuple[int, int]
"""(y, x) of a window's first pixel, px of the image."""


@dataclass(frozen=True)
class Annotated:
    """A sample that has not been decoded.

    Attributes
    ----------
    name : str
        Of the sample.
    image : Path
        A picture or a slide.
    is_slide : bool
        Whether it is one, of which only a part is read.
    row : Row
        What is known of it, with um/px.
    area : Outline or None
        Where every nucleus is outlined; None: everywhere.
    drawn : callable
        Gives the objects that lie there, and may give others.
    classes : tuple of str
        Names of the classes 1, 2, ...
    """

    name: str
    image: Path
    is_slide: bool
    row: Row
    area: Outline | None
    drawn: Callable[[], Sequence[Drawn]]
    classes: tuple[str, ...]


def read_sample(what: Annotated) -> Sample:
    """Decode a sample.

    Raises
    ------
    DataSetError
        If image or GeoJSON is damaged, or the area lies outside the image or is too large.
    """
    mpp = checked_mpp(what.row.mpp)
    rgb, (top, left) = _pixels(what, mpp)
    shape = (rgb.shape[0], rgb.shape[1])
    here = [(each.outline.moved(-left, -top), each.kind) for each in what.drawn()]
    nuclei = [each for each in here if each[1] not in (IGNORE, REGION)]
    labels = rasterise([outline for outline, _ in nuclei], shape)
    numbers = [what.classes.index(kind) + 1 if kind else 0 for _, kind in nuclei]
    area = None if what.area is None else what.area.moved(-left, -top)
    vague = [outline for outline, kind in here if kind == IGNORE]
    return Sample(
        name=what.name,
        image=rgb,
        labels=labels,
        mpp=mpp,
        organ=what.row.organ,
        patient=what.row.patient,
        types=np.array([0, *numbers], np.uint8)[labels] if what.classes else None,
        ignore=_ignored(area, vague, shape),
        source=what.row.source,
        mpp_estimated=what.row.mpp_estimated,
        partial=what.area is not None,
    )


def _pixels(what: Annotated, mpp: float) -> tuple[Rgb, Place]:
    """Read what a sample shows, and tell where it lies in the image."""
    if what.is_slide:
        try:
            with open_slide(what.image, mpp) as slide:
                top, left, bottom, right = _window(what, slide.shape, mpp)
                return slide.read(top, left, bottom - top, right - left, mpp), (top, left)
        except InputError as error:
            raise DataSetError(str(error)) from error
    rgb = read_rgb(what.image)
    top, left, bottom, right = _window(what, (rgb.shape[0], rgb.shape[1]), mpp)
    return np.ascontiguousarray(rgb[top:bottom, left:right]), (top, left)


def _window(what: Annotated, shape: tuple[int, int], mpp: float) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of what is shown, px of an image of ``shape``."""
    if what.area is None:
        return 0, 0, *shape
    low, high = what.area.bounds
    if (high < 0).any() or (low > np.array(shape[::-1]) - 1).any():
        raise DataSetError(
            f"the area {REGION} of {what.name} lies outside {what.image.name}, which has "
            f"{shape[1]} x {shape[0]} px; expected px of this image; export it from this image"
        )
    margin = round(MARGIN_UM / mpp)
    left, top = (max(0, int(np.ceil(each)) - margin) for each in low)
    right, bottom = (
        min(side, int(np.floor(each)) + 1 + margin)
        for each, side in zip(high, shape[::-1], strict=True)
    )
    if (bottom - top) * (right - left) > MAX_PIXELS:
        raise DataSetError(
            f"the area {REGION} of {what.name} is {right - left} x {bottom - top} px with its "
            f"margin; expected at most {MAX_PIXELS:,} px; divide it in QuPath"
        )
    return top, left, bottom, right


def _ignored(
    area: Outline | None, vague: Sequence[Outline], shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    if area is None and not vague:
        return None
    ignore = rasterise(vague, shape) > 0
    return ignore if area is None else ignore | (rasterise([area], shape) == 0)

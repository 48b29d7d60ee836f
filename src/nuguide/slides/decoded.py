"""What every decoder returns, and the bounds it keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.slides.scale import Scale

MIN_SIDE_PX = 8
"""Shortest side of an image that can hold a nucleus, px."""

MAX_PIXELS = 1_000_000_000
"""Most pixels that are decoded into memory at once (3 GB of RGB)."""

MAX_SLIDE_PIXELS = 100_000_000_000
"""Most pixels of a slide that is read piece by piece: 75 x 25 mm of glass at 0.14 um/px."""

MAX_TILE_PIXELS = 1 << 26
"""Most pixels of one stored tile, which is decoded at once (200 MB of RGB)."""


@dataclass(frozen=True)
class Decoded:
    """Pixels of an image file.

    Attributes
    ----------
    rgb : ndarray
        (H, W, 3) uint8, as stored: an orientation tag (EXIF or TIFF) is not applied, so that the
        coordinates written are those of the stored pixels, as in QuPath and ImageJ.
    scale : Scale or None
        um/px from the file's metadata; None if it tells none that a microscope can have.
    objective_power : float or None
        Nominal magnification of the objective, where the file tells it.
    """

    rgb: NDArray[np.uint8]
    scale: Scale | None
    objective_power: float | None = None


def check_extent(height: int, width: int, name: str, limit: int = MAX_PIXELS) -> None:
    """Refuse an image that is too small to hold a nucleus or too large to be read.

    Parameters
    ----------
    height, width : int
        Px.
    name : str
        What the image is called in the message.
    limit : int
        Most pixels.

    Raises
    ------
    InputError
        If a side is under ``MIN_SIDE_PX`` or the area over ``limit``.
    """
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"{name} is {width} x {height} px; expected at least {MIN_SIDE_PX} px a side; "
            "give an image of tissue"
        )
    if height * width > limit:
        advice = (
            "save it as a tiled TIFF, which is read piece by piece"
            if limit == MAX_PIXELS
            else "check that it is whole"
        )
        raise InputError(
            f"{name} is {width} x {height} px; expected at most {limit:,} px in all; {advice}"
        )

"""What every decoder returns, and the bounds it keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.units import MPP_RANGE

MIN_SIDE_PX = 8
"""Shortest side of an image that can hold a nucleus, px."""

MAX_PIXELS = 1_000_000_000
"""Most pixels that are decoded into memory at once (3 GB of RGB)."""


@dataclass(frozen=True)
class Scale:
    """Microns per pixel that a file tells of itself, and where in the file they stand."""

    mpp: float
    source: str


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
    """

    rgb: NDArray[np.uint8]
    scale: Scale | None


def check_extent(height: int, width: int, name: str) -> None:
    """Refuse an image that is too small to hold a nucleus or too large for memory.

    Raises
    ------
    InputError
        If a side is under ``MIN_SIDE_PX`` or the area over ``MAX_PIXELS``.
    """
    if min(height, width) < MIN_SIDE_PX:
        raise InputError(
            f"{name} is {width} x {height} px; expected at least {MIN_SIDE_PX} px a side; "
            "give an image of tissue"
        )
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{name} is {width} x {height} px; expected at most {MAX_PIXELS:,} px in all; "
            "cut it into smaller images"
        )


def plausible_scale(mpp_x: float, mpp_y: float, source: str) -> Scale | None:
    """Return the scale if a microscope can have it, else None.

    Screens and printers write their own resolution into images: 72 to 300 dots an inch are 353
    to 85 um/px, far outside ``MPP_RANGE``. Pixels that are not square (1 % apart) are not
    believed either.
    """
    low, high = MPP_RANGE
    if not (low <= mpp_x <= high and low <= mpp_y <= high):
        return None
    if abs(mpp_x - mpp_y) > 0.01 * max(mpp_x, mpp_y):
        return None
    return Scale((mpp_x + mpp_y) / 2.0, source)

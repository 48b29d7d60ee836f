"""Stored levels: the same image at one or more resolutions, read piece by piece."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nuguide.slides.scale import Scale

Pixels = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True)
class Level:
    """One stored resolution of an image.

    Attributes
    ----------
    shape : tuple of int
        (H, W), px of the level.
    downsample : tuple of float
        Full-resolution px per px of the level, (down, across).
    tile : tuple of int
        (H, W) of the pieces it is stored in, px of the level: the cheapest unit to read.
    phase : tuple of float
        Where the image's corner lies in the level, px of the level; not (0, 0) where an image is
        cut out of a larger scan whose levels do not begin at its corner.
    """

    shape: tuple[int, int]
    downsample: tuple[float, float]
    tile: tuple[int, int]
    phase: tuple[float, float] = (0.0, 0.0)


class Levels(Protocol):
    """What reads a file's levels; several threads may read at once.

    Attributes
    ----------
    levels : tuple of Level
        From the finest, which is the image's full resolution, to the coarsest.
    in_memory : bool
        Whether the pixels are held decoded, so that nothing is won by keeping them again.
    """

    levels: tuple[Level, ...]
    in_memory: bool

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Read a box that lies inside the level, px of the level; white where nothing is stored.

        Raises
        ------
        InputError
            If the file cannot be read any more, or is damaged there.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


@dataclass(frozen=True)
class Stored:
    """An opened file: its levels and what it tells of itself.

    Attributes
    ----------
    levels : Levels
        Its pixels.
    scales : tuple of Scale
        um/px that it tells, the most trustworthy first.
    vendor : str
        Who wrote the format: "aperio", "hamamatsu", "TIFF", "OME-Zarr" and so on.
    objective_power : float or None
        Nominal magnification of the objective.
    offset_px : tuple of int
        Where the image begins in the scanner's own frame (y, x), full-resolution px.
    """

    levels: Levels
    scales: tuple[Scale, ...]
    vendor: str
    objective_power: float | None = None
    offset_px: tuple[int, int] = (0, 0)


class ArrayLevels:
    """An image that lies in memory: one level."""

    in_memory = True

    def __init__(self, rgb: Pixels) -> None:
        shape = (rgb.shape[0], rgb.shape[1])
        self.levels: tuple[Level, ...] = (Level(shape, (1.0, 1.0), shape),)
        self._rgb = rgb

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Return a view of the image."""
        return self._rgb[y : y + height, x : x + width]

    def close(self) -> None:
        """Do nothing: memory is let go with the object."""


def downsample_of(full: tuple[int, int], small: tuple[int, int]) -> tuple[float, float]:
    """Return the full-resolution px per px of a smaller level, (down, across).

    Levels are whole divisions of the image, cut or rounded to whole px: 10,001 px divided by 4 are
    stored as 2,500. Their quotient, 4.0004, would shift the far edge by a pixel; so a whole number
    is taken wherever it explains both sizes.

    Examples
    --------
    >>> downsample_of((10001, 8002), (2500, 2001))
    (4.0, 4.0)
    """
    exact = (full[0] / small[0], full[1] / small[1])
    whole = round(sum(exact) / 2.0)
    if whole >= 1 and all(
        abs(length / whole - stored) < 1.0 for length, stored in zip(full, small, strict=True)
    ):
        return float(whole), float(whole)
    return exact

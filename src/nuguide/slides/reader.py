"""A slide: an image with a scale, read at any um/px."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError, ResolutionError
from nuguide.networks.allocator import give_back_memory
from nuguide.slides.blocks import Blocks
from nuguide.slides.colour import as_rgb
from nuguide.slides.decoded import MAX_PIXELS, MAX_SLIDE_PIXELS, check_extent
from nuguide.slides.digest import Digest
from nuguide.slides.levels import ArrayLevels, Stored
from nuguide.slides.opening import digest_of_slide, open_stored
from nuguide.slides.scale import UNKNOWN, Settled, settle_scale
from nuguide.units import checked_mpp

WHITE = 255
THUMBNAIL_UM = 8.0
MAX_THUMBNAIL_PIXELS = 1 << 26
"""Most px of a thumbnail (200 MB of RGB); a larger slide gets a coarser one."""

KEPT_BYTES = 1 << 25
"""Largest thumbnail that is kept: that of 26 x 26 mm."""


class StoredLevel(NamedTuple):
    """A resolution that a file holds."""

    shape: tuple[int, int]
    mpp: float


class Slide:
    """An image of tissue with its scale.

    Attributes
    ----------
    name : str
        File name without its suffix, or the name given to an array.
    path : Path or None
        Where it was read from; None for an array.
    shape : tuple of int
        (H, W) at full resolution, px.
    mpp : float
        Microns per pixel at full resolution.
    mpp_source : str
        Where ``mpp`` came from: "--mpp", "openslide.mpp", "OME metadata", "objective power 40",
        "array" and so on.
    warnings : tuple of str
        What a user should be told about the slide, a sentence each.
    sha256 : str
        Digest by which the slide is known again.
    sha256_of : str
        What it was taken of, see ``nuguide.slides.digest``.
    levels : tuple of StoredLevel
        Shape and um/px of each resolution that the file holds, from the finest.
    vendor : str
        Who wrote the format: "aperio", "hamamatsu", "TIFF", "OME-TIFF", "OME-Zarr", "PNG", "JPEG"
        or "array".
    objective_power : float or None
        Nominal magnification of the objective, where the file tells.
    offset_px : tuple of int
        Where the image begins in the scanner's own frame (y, x), full-resolution px; not (0, 0)
        where a slide tells which part of its frame was scanned (MRXS).
    streams : bool
        True where pixels stay on disk and are read as they are asked for.

    Notes
    -----
    Pixel (i, j) of the grid at scale s = mpp / m covers [i/s, (i+1)/s] x [j/s, (j+1)/s] of
    full-resolution px. The grid is computed in fixed blocks, each from the coarsest stored level
    that is at least twice as fine (or the finest), so two reads agree to the bit wherever they
    overlap. Shrinking
    averages over area; enlarging is cubic. Outside the image, and where nothing was scanned, is
    white. Several threads may read at once. What was read last is kept, up to a fixed number of
    bytes (``nuguide.slides.blocks.CACHE_BYTES``).
    """

    def __init__(
        self, stored: Stored, scale: Settled, digest: Digest, *, name: str, path: Path | None
    ) -> None:
        finest = stored.levels.levels[0]
        self.name = name
        self.path = path
        self.shape = finest.shape
        self.mpp = scale.mpp
        self.mpp_source = scale.source
        self.warnings = scale.warnings
        self.sha256 = digest.sha256
        self.sha256_of = digest.of
        self.levels = tuple(
            StoredLevel(level.shape, scale.mpp * sum(level.downsample) / 2.0)
            for level in stored.levels.levels
        )
        self.vendor = stored.vendor
        self.objective_power = stored.objective_power
        self.offset_px = stored.offset_px
        self.streams = not stored.levels.in_memory
        self._stored = stored.levels
        self._blocks = Blocks(stored.levels)
        self._thumbnail = 0.0, np.empty((0, 0, 3), np.uint8)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Slide({self.name!r}, {width} x {height} px, {self.mpp:g} um/px)"

    def __enter__(self) -> "Slide":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of what was kept of it; no read may be under way."""
        self._blocks.clear()
        self._stored.close()

    def forget(self) -> None:
        """Let go of what was kept of the file, and give back the memory between it.

        For where one use of the slide ends and another begins: blocks that are kept lie scattered
        among what the first one freed, and would pin it. An image that lies in memory as a whole
        is small, and what was freed is wanted again at once.
        """
        self._blocks.clear()
        if self.streams:
            give_back_memory()

    def shape_at(self, mpp: float) -> tuple[int, int]:
        """Return (H, W) of the whole image at ``mpp`` um/px, px.

        Raises
        ------
        InputError
            If that is nothing, or more than ``MAX_PIXELS`` (``MAX_SLIDE_PIXELS`` for an image that
            stays on disk).
        """
        limit = MAX_SLIDE_PIXELS if self.streams else MAX_PIXELS
        scale = self.mpp / mpp
        height, width = round(self.shape[0] * scale), round(self.shape[1] * scale)
        if min(height, width) < 1 or height * width > limit:
            raise InputError(
                f"{self.name} at {self.mpp:g} um/px becomes {width} x {height} px at {mpp:g} "
                f"um/px; expected 1 to {limit:,} px; check its microns per pixel (--mpp)"
            )
        return height, width

    def read(
        self, y: float, x: float, height: float, width: float, mpp: float
    ) -> NDArray[np.uint8]:
        """Read a box given in full-resolution px.

        Parameters
        ----------
        y, x, height, width : float
            Corner and size of the box, full-resolution px; may reach outside the image.
        mpp : float
            um/px of the result.

        Returns
        -------
        ndarray
            (round(height * s), round(width * s), 3) uint8 with s = self.mpp / mpp; white outside.
            Its corner lies at pixel (round(y * s), round(x * s)) of the grid at ``mpp``.
        """
        scale = self.mpp / mpp
        return self.read_at(
            round(y * scale), round(x * scale), round(height * scale), round(width * scale), mpp
        )

    def read_at(self, y: int, x: int, height: int, width: int, mpp: float) -> NDArray[np.uint8]:
        """Read a box given in px of the grid at ``mpp``: what a region of the plan asks for.

        Returns
        -------
        ndarray
            (height, width, 3) uint8; white outside the image; writable, not shared.

        Raises
        ------
        InputError
            If the file has gone, or is damaged under the box.
        """
        shape = self.shape_at(mpp)
        box = np.full((height, width, 3), WHITE, np.uint8)
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + height, shape[0]), min(x + width, shape[1])
        if top < bottom and left < right:
            ratio = 1.0 if mpp == self.mpp else mpp / self.mpp
            box[top - y : bottom - y, left - x : right - x] = self._blocks.read(
                top, left, bottom - top, right - left, ratio, shape
            )
        return box

    def thumbnail(self, mpp: float = THUMBNAIL_UM) -> NDArray[np.uint8]:
        """Return the whole image at about ``mpp`` um/px, (h, w, 3) uint8.

        Never finer than the image itself, nor larger than ``MAX_THUMBNAIL_PIXELS``. Of a slide
        the last one is kept, if it is small: where a file holds no coarse level, all of its pixels
        are read for it, and a run asks several times.
        """
        mpp = self.thumbnail_mpp(mpp)
        kept_mpp, kept = self._thumbnail
        if mpp != kept_mpp:
            kept = self.read_at(0, 0, *self.shape_at(mpp), mpp)
            if self.streams and kept.size <= KEPT_BYTES:
                self._thumbnail = mpp, kept
        return kept.copy()

    def thumbnail_mpp(self, mpp: float = THUMBNAIL_UM) -> float:
        """Return the um/px that ``thumbnail(mpp)`` really has.

        A little coarser than asked for where that lets a coarse level serve: a level must be twice
        as fine, and 8 um/px miss that of 4.04 um/px, as many scanners have it, by a hair.
        """
        height, width = self.shape
        smallest = self.mpp * (height * width / MAX_THUMBNAIL_PIXELS) ** 0.5
        # A strip of an image keeps at least one px of its shorter side.
        largest = self.mpp * min(height, width)
        served = max((level.mpp for level in self.levels if level.mpp <= 0.75 * mpp), default=0.0)
        return min(max(mpp, 2.0 * served, self.mpp, smallest), largest)


def open_slide(
    path: str | Path,
    mpp: float | None = None,
    *,
    estimate: Callable[[Slide], Settled] | None = None,
) -> Slide:
    """Open an image file as a slide; what it is, its content says, not its suffix.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG or TIFF file, a slide that OpenSlide knows (SVS, NDPI, MRXS, SCN, BIF, DICOM
        and others), or a folder of OME-Zarr or of a DICOM slide.
    mpp : float, optional
        Microns per pixel; wins over the file's metadata.
    estimate : callable, optional
        Estimates them of the slide itself where nothing tells; the slide it is given has some
        ``mpp`` that means nothing.

    Raises
    ------
    InputError
        If the file is missing, unreadable, not an image, damaged, a stack, too small or too
        large.
    ResolutionError
        If ``mpp`` is out of range, or not given and not in the file.
    """
    path = Path(path)
    given = None if mpp is None else checked_mpp(mpp)
    stored, digest = _opened_and_digested(path)

    def scaled(scale: Settled) -> Slide:
        return Slide(stored, scale, digest, name=path.stem, path=path)

    try:
        last = None if estimate is None else lambda: estimate(scaled(UNKNOWN))
        return scaled(settle_scale(path.name, given, stored.scales, stored.objective_power, last))
    except BaseException:
        stored.levels.close()
        raise


def _opened_and_digested(path: Path) -> tuple[Stored, Digest]:
    """Open an image, and read it once more for its digest meanwhile: each takes as long."""
    with ThreadPoolExecutor(1, thread_name_prefix="digest") as beside:
        digest = beside.submit(digest_of_slide, path)
        stored = open_stored(path)
    try:
        return stored, digest.result()
    except BaseException:
        stored.levels.close()
        raise


def from_array(rgb: NDArray[Any], mpp: float | Settled | None, name: str = "array") -> Slide:
    """Make a slide of an array at ``mpp`` um/px: (H, W) or (H, W, C), as ``as_rgb`` takes it.

    A scale that was settled elsewhere brings its source and its warnings along.

    Raises
    ------
    InputError
        If the array is no image, too small or too large.
    ResolutionError
        If ``mpp`` is missing or out of range: an array cannot tell its own.
    """
    if mpp is None:
        raise ResolutionError(
            "an array does not tell its microns per pixel; expected them from you; add for "
            "example mpp=0.25 (40x) or mpp=0.5 (20x)"
        )
    scale = mpp if isinstance(mpp, Settled) else Settled(checked_mpp(mpp, "mpp"), "array")
    samples = np.asarray(rgb)
    if samples.ndim >= 2:
        check_extent(samples.shape[0], samples.shape[1], name)
    pixels = as_rgb(samples, name)
    # The caller may go on writing into the array; the slide must not change under its digest.
    pixels = pixels.copy() if np.shares_memory(pixels, samples) else pixels
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    stored = Stored(ArrayLevels(pixels), (), "array")
    return Slide(stored, scale, Digest(digest.hexdigest(), "the pixels"), name=name, path=None)

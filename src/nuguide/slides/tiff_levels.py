"""TIFF files: small ones decoded whole, tiled pyramids read tile by tile, by tifffile."""

import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.slides.colour import TWELVE_BITS, as_rgb
from nuguide.slides.decoded import MAX_SLIDE_PIXELS, MAX_TILE_PIXELS, check_extent
from nuguide.slides.levels import ArrayLevels, Level, Pixels, Stored, downsample_of
from nuguide.slides.tiff import alpha_of, as_shown, decode_tiff, flat_extent
from nuguide.slides.tiff_checks import (
    DAMAGE,
    check_coded_size,
    check_markup,
    check_segments,
    damaged,
    quiet,
)
from nuguide.slides.tiff_scale import told_power, told_scales

WHITE = 255
WHOLE_PIXELS = 1 << 26
"""A tiled TIFF of one level is decoded whole up to this many px (8192 x 8192)."""

COMPANION_SHARE = 16
"""An image this many times smaller than the main one is its label or thumbnail."""

BITS_SAMPLED = 16
"""Tiles of the coarsest level that are looked at to tell 12 from 16 bits."""


def open_tiff(path: Path) -> Stored:
    """Open a TIFF: pyramids and large tiled images stay on disk, others are decoded.

    Raises
    ------
    InputError
        If it is damaged, truncated, a stack, several images, too small or too large.
    """
    try:
        with quiet():
            # An OME-TIFF may name others, anywhere on the disk: they are not opened.
            tiff = tifffile.TiffFile(path, _multifile=False)
            try:
                check_markup(tiff)
                streamed = _streamed(tiff, path)
                if streamed is not None:
                    return streamed
            except BaseException:
                tiff.close()
                raise
            tiff.close()
    except DAMAGE as fault:
        raise damaged(path.name, fault) from fault
    decoded = decode_tiff(path)
    scales = () if decoded.scale is None else (decoded.scale,)
    return Stored(ArrayLevels(decoded.rgb), scales, "TIFF", decoded.objective_power)


def _streamed(tiff: tifffile.TiffFile, path: Path) -> Stored | None:
    """Return the levels of a tiled image, or None if it is to be decoded whole."""
    main = max(tiff.series, key=_area, default=None)
    if main is None or not main.keyframe.is_tiled:
        return None
    name = path.name
    extent, _ = flat_extent(main, name)
    pyramid = _pyramid(tiff.series, main, name)
    if len(pyramid) == 1 and extent["Y"] * extent["X"] <= WHOLE_PIXELS:
        return None
    check_extent(extent["Y"], extent["X"], name, MAX_SLIDE_PIXELS)
    page = main.keyframe
    if page.tilelength * page.tilewidth > MAX_TILE_PIXELS:
        raise InputError(
            f"{name} is stored in tiles of {page.tilewidth} x {page.tilelength} px; expected at "
            f"most {MAX_TILE_PIXELS:,} px a tile; save it with smaller tiles"
        )
    for level in pyramid:
        for plane in level.pages:
            check_segments(plane, name)
    levels = TiffLevels(tiff, pyramid, name)
    kind = "OME-TIFF" if tiff.is_ome else "TIFF"
    return Stored(levels, told_scales(tiff, page), kind, told_power(tiff, page))


def _area(series: Any) -> int:
    extent = dict(zip(series.axes, series.shape, strict=True))
    return int(extent.get("Y", 0) * extent.get("X", 0))


def _pyramid(found: Sequence[Any], main: Any, name: str) -> list[Any]:
    """Return the main image and its smaller levels, from the finest, out of a file's series."""
    sizes = {_size(level): level for level in reversed(main.levels) if _is_level(level, main)}
    for other in found:
        if other is main:
            continue
        if _is_level(other, main):
            sizes.setdefault(_size(other), other)
        elif not other.keyframe.is_reduced and _area(other) * COMPANION_SHARE > _area(main):
            raise InputError(
                f"{name} holds {len(found)} images of different kinds; expected one; "
                "save the one you mean as its own TIFF"
            )
    return [sizes[size] for size in sorted(sizes, reverse=True)]


def _size(series: Any) -> tuple[int, int]:
    extent = dict(zip(series.axes, series.shape, strict=True))
    return int(extent.get("Y", 0)), int(extent.get("X", 0))


def _is_level(series: Any, main: Any) -> bool:
    """Tell whether a series is the main image again, whole or smaller, tile by tile."""
    if series is main:
        return True
    page, first = series.keyframe, main.keyframe
    if not page.is_tiled or (series.axes, series.dtype) != (main.axes, main.dtype):
        return False
    if (page.photometric, page.samplesperpixel) != (first.photometric, first.samplesperpixel):
        return False
    full, small = _size(main), _size(series)
    if min(small) < 1 or small[0] >= full[0] or page.tilelength * page.tilewidth > MAX_TILE_PIXELS:
        return False
    down, across = downsample_of(full, small)
    # A thumbnail may be cut to another shape; one px of rounding is no other shape.
    return abs(down - across) * min(small) <= 2.0 * max(down, across)


class TiffLevels:
    """The levels of a tiled TIFF; tiles without bytes are white."""

    in_memory = False

    def __init__(self, tiff: tifffile.TiffFile, pyramid: Sequence[Any], name: str) -> None:
        self._tiff = tiff
        # A slide that nobody closes lets go of its file when it is forgotten.
        self._closer = weakref.finalize(self, tiff.close)
        self._name = name
        self._lock = threading.Lock()
        full = _size(pyramid[0])
        self.levels = tuple(
            Level(
                shape=_size(series),
                downsample=downsample_of(full, _size(series)),
                tile=(series.keyframe.tilelength, series.keyframe.tilewidth),
            )
            for series in pyramid
        )
        # A channel may be a page, or a plane of tiles within a page, or a sample of each pixel.
        self._planes = [list(series.pages) for series in pyramid]
        self._twelve_bits = self._find_twelve_bits()

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Read a box of a level."""
        box = np.full((height, width, 3), WHITE, np.uint8)
        tall, wide = self.levels[level].tile
        for row in range(y // tall, -(-(y + height) // tall)):
            for column in range(x // wide, -(-(x + width) // wide)):
                samples = self._tile(level, row, column)
                if samples is None:
                    continue
                rgb = self._as_rgb(samples, level)
                top, left = max(y, row * tall), max(x, column * wide)
                bottom, right = (
                    min(y + height, (row + 1) * tall),
                    min(x + width, (column + 1) * wide),
                )
                piece = rgb[
                    top - row * tall : bottom - row * tall,
                    left - column * wide : right - column * wide,
                ]
                box[top - y : bottom - y, left - x : right - x] = piece
        return box

    def close(self) -> None:
        """Close the file; no read may be under way."""
        self._closer()

    def _as_rgb(self, samples: NDArray[Any], level: int) -> Pixels:
        page = self._planes[level][0].keyframe
        shown = as_shown(samples, page, self._name)
        return as_rgb(shown, self._name, alpha_of(page), self._twelve_bits)

    def _tile(self, level: int, row: int, column: int) -> NDArray[Any] | None:
        """Decode the samples of a tile, (tile height, tile width, samples); None if it has none."""
        pages = self._planes[level]
        keyframe = pages[0].keyframe
        (height, width), (tall, wide) = self.levels[level].shape, self.levels[level].tile
        across, down = -(-width // wide), -(-height // tall)
        index = row * across + column
        separate = keyframe.samplesperpixel if keyframe.planarconfig == 2 else 1
        planes = []
        for page in pages:
            for plane in range(separate):
                samples = self._decoded(page, index + plane * across * down)
                if samples is None:
                    return None
                planes.append(samples)
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)

    def _decoded(self, page: Any, index: int) -> NDArray[Any] | None:
        keyframe = page.keyframe
        options: dict[str, Any] = {"_fullsize": True}
        try:
            data = self._stored_bytes(page, index)
            if data is None:
                return None
            check_coded_size(data, keyframe)
            if keyframe.compression in (6, 7, 34892, 33007):  # the kinds of JPEG with tables aside
                options |= {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader}
            with quiet():
                samples, _, _ = keyframe.decode(data, index, **options)
        except DAMAGE as fault:
            raise damaged(self._name, fault) from fault
        return np.asarray(samples[0])

    def _stored_bytes(self, page: Any, index: int) -> bytes | None:
        offset, count = int(page.dataoffsets[index]), int(page.databytecounts[index])
        if offset == 0 or count == 0:
            return None
        keyframe = page.keyframe
        raw = keyframe.tilelength * keyframe.tilewidth * keyframe.samplesperpixel * 8
        if count > 2 * raw + (1 << 20):
            raise ValueError(f"tile {index} claims {count:,} bytes")
        with self._lock:
            handle = self._tiff.filehandle
            handle.seek(offset)
            data = handle.read(count)
        if len(data) < count:
            raise ValueError(f"tile {index} ends after {len(data):,} of {count:,} bytes")
        return bytes(data)

    def _find_twelve_bits(self) -> bool:
        """Tell whether 16-bit samples come from a 12-bit camera: then 4095 is white, not 65535.

        One answer for the whole file, or tiles would differ in brightness.
        """
        if self._planes[0][0].keyframe.dtype != np.uint16:
            return False
        coarsest = len(self.levels) - 1
        level = self.levels[coarsest]
        rows, columns = (
            -(-length // side) for length, side in zip(level.shape, level.tile, strict=True)
        )
        places = np.linspace(0, rows * columns - 1, BITS_SAMPLED).round().astype(int)
        tiles = (
            self._tile(coarsest, *divmod(int(place), columns)) for place in dict.fromkeys(places)
        )
        return all(int(tile.max()) < TWELVE_BITS for tile in tiles if tile is not None)

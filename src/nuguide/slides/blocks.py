"""Reads that agree to the bit: pieces of one fixed raster, computed whole and kept for a while."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial

import numpy as np

from nuguide.slides.levels import Levels, Pixels
from nuguide.slides.resampling import Axis, resample

BLOCK_PX = 256
"""Side of the blocks in which an image is resampled, px of the grid asked for."""

TILE_PX = 512
"""Stored tiles are read in groups of about this side, px of the level."""

CACHE_BYTES = 128 << 20
"""Most that a slide keeps of what it has read, bytes."""


class Blocks:
    """An image at any ratio, read in any box.

    A grid has ``ratio`` full-resolution px a pixel and begins at the image's corner. It is made in
    blocks of ``BLOCK_PX`` a side, each from the coarsest stored level that is at least twice as
    fine (or the finest), so that a pixel is computed in one way only, whoever asks for it.

    Parameters
    ----------
    levels : Levels
        The stored image.
    cache_bytes : int
        Most that is kept of it, decoded tiles and resampled blocks together.
    """

    def __init__(self, levels: Levels, cache_bytes: int = CACHE_BYTES) -> None:
        self._source = levels
        self._cache = ByteCache(cache_bytes)

    def read(
        self, y: int, x: int, height: int, width: int, ratio: float, shape: tuple[int, int]
    ) -> Pixels:
        """Read a box that lies inside the grid of ``ratio``, px of that grid.

        Parameters
        ----------
        y, x, height, width : int
            The box.
        ratio : float
            Full-resolution px per px of the grid.
        shape : tuple of int
            (H, W) of the whole grid.

        Returns
        -------
        ndarray
            (height, width, 3) uint8; not to be written into.
        """
        if ratio == 1.0:
            return self._read_level(0, y, x, height, width)
        level = self._level_for(ratio)
        stored = self._source.levels[level]
        down, across = (
            Axis(ratio / stored.downsample[i], stored.phase[i], stored.shape[i]) for i in (0, 1)
        )

        def block(row: int, column: int) -> Pixels:
            top, left = row * BLOCK_PX, column * BLOCK_PX
            tall, wide = min(BLOCK_PX, shape[0] - top), min(BLOCK_PX, shape[1] - left)
            source = partial(self._read_level, level)
            return resample(source, down, across, top, left, tall, wide)

        return self._assembled(("grid", ratio), block, (BLOCK_PX, BLOCK_PX), y, x, height, width)

    def clear(self) -> None:
        """Let go of everything kept."""
        self._cache.clear()

    def _level_for(self, ratio: float) -> int:
        """Return the coarsest level that is at least twice as fine as the grid, else the finest.

        Averaging four stored px or more makes the grid's phase, the level's own resampling and
        what JPEG did to it fade; a level of about the grid's own size would show them all.
        """
        fine = [
            index
            for index, level in enumerate(self._source.levels)
            if 2.0 * max(level.downsample) <= ratio * (1.0 + 1e-6)
        ]
        return fine[-1] if fine else 0

    def _read_level(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        stored = self._source.levels[level]
        if self._source.in_memory:
            return self._source.read(level, y, x, height, width)
        # Whole tiles together: no tile is decoded twice, small ones do not cost a call each.
        tall, wide = (side * max(1, TILE_PX // side) for side in stored.tile)

        def tile(row: int, column: int) -> Pixels:
            top, left = row * tall, column * wide
            return self._source.read(
                level,
                top,
                left,
                min(tall, stored.shape[0] - top),
                min(wide, stored.shape[1] - left),
            )

        return self._assembled(("level", level), tile, (tall, wide), y, x, height, width)

    def _assembled(
        self,
        raster: Hashable,
        compute: Callable[[int, int], Pixels],
        piece_px: tuple[int, int],
        y: int,
        x: int,
        height: int,
        width: int,
    ) -> Pixels:
        """Put a box together from the pieces of a raster, kept or computed."""
        box = np.empty((height, width, 3), np.uint8)
        tall, wide = piece_px
        for row in range(y // tall, -(-(y + height) // tall)):
            for column in range(x // wide, -(-(x + width) // wide)):
                key = (raster, row, column)
                piece = self._cache.get(key)
                if piece is None:
                    piece = compute(row, column)
                    self._cache.put(key, piece)
                top, left = max(y, row * tall), max(x, column * wide)
                bottom, right = (
                    min(y + height, (row + 1) * tall),
                    min(x + width, (column + 1) * wide),
                )
                box[top - y : bottom - y, left - x : right - x] = piece[
                    top - row * tall : bottom - row * tall,
                    left - column * wide : right - column * wide,
                ]
        return box


class ByteCache:
    """Keeps the arrays used last, up to a number of bytes; for several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._arrays: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Pixels | None:
        """Return what is kept under ``key``, which counts as used now."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: Hashable, array: Pixels) -> None:
        """Keep an array, and let go of those used longest ago."""
        with self._lock:
            # Two threads may have computed the same piece; they made the same bits.
            if key in self._arrays or array.nbytes > self._limit:
                return
            self._arrays[key] = array
            self._held += array.nbytes
            while self._held > self._limit:
                _, oldest = self._arrays.popitem(last=False)
                self._held -= oldest.nbytes

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._arrays.clear()
            self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes kept now."""
        return self._held

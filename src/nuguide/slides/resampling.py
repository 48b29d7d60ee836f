"""Bringing stored pixels to another grid: area averaging to shrink, cubic to enlarge.

Pixel i of the target covers [i, i + 1] * ratio + phase of the source, whatever piece of the target
is asked for: no fitting of sizes, so nothing drifts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.slides.levels import Pixels

WHITE = 255
MAX_SOURCE_PIXELS = 1 << 20
"""Most source px that are averaged at once; larger pieces are cut (also bounds 32-bit sums)."""

ReadSource = Callable[[int, int, int, int], Pixels]
"""Reads (y, x, height, width) of the source."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """How the target lies on the source along one axis.

    Attributes
    ----------
    ratio : float
        Source px per target px.
    phase : float
        Source px at which the target begins.
    length : int
        Source px there are.
    """

    ratio: float
    phase: float
    length: int

    def spans(self, start: int, count: int) -> tuple[Doubles, Doubles]:
        """Return where ``count`` target px from ``start`` begin and end, within the source.

        Levels are cut to whole px, so the last target px may lie beyond: it sees the last of the
        source.
        """
        borders = self.phase + np.arange(start, start + count + 1) * self.ratio
        begin = np.clip(borders[:-1], 0.0, self.length)
        end = np.clip(borders[1:], 0.0, self.length)
        beyond = end - begin < 1e-6
        begin[beyond] = np.clip(np.floor(begin[beyond]), 0.0, self.length - 1)
        end[beyond] = begin[beyond] + 1.0
        return begin, end

    def centres(self, start: int, count: int) -> Doubles:
        """Return the middles of target px in source px, 0 being the middle of the first."""
        middles = np.arange(start, start + count) + 0.5
        return np.asarray(self.phase + middles * self.ratio - 0.5)


def resample(
    read: ReadSource, down: Axis, across: Axis, y: int, x: int, height: int, width: int
) -> Pixels:
    """Compute a piece of the target.

    Parameters
    ----------
    read : callable
        Reads the source.
    down, across : Axis
        Geometry of rows and of columns.
    y, x, height, width : int
        The piece, target px.

    Returns
    -------
    ndarray
        (height, width, 3) uint8.
    """
    if down.ratio < 1.0 or across.ratio < 1.0:
        return _enlarged(read, down, across, y, x, height, width)
    cost = height * down.ratio * width * across.ratio
    if cost > MAX_SOURCE_PIXELS and max(height, width) > 1:
        # Cut the longer side, on the target's own pixels: no source pixel's share is lost.
        if height >= width:
            top = height // 2
            return np.concatenate(
                [
                    resample(read, down, across, y, x, top, width),
                    resample(read, down, across, y + top, x, height - top, width),
                ]
            )
        left = width // 2
        return np.concatenate(
            [
                resample(read, down, across, y, x, height, left),
                resample(read, down, across, y, x + left, height, width - left),
            ],
            axis=1,
        )
    return _shrunk(read, down.spans(y, height), across.spans(x, width))


Spans = tuple[Doubles, Doubles]


def _shrunk(read: ReadSource, rows: Spans, columns: Spans) -> Pixels:
    """Average the source over each rectangle of ``rows`` and ``columns``, source px."""
    top, left = math.floor(rows[0][0]), math.floor(columns[0][0])
    source = read(top, left, math.ceil(rows[1][-1]) - top, math.ceil(columns[1][-1]) - left)
    factor = _whole_factor(rows, columns)
    if factor == 1:
        return source.copy()
    if factor:
        size = (len(columns[0]), len(rows[0]))
        return np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA))
    # The integral image of pixels that are constant over their area is bilinear between its
    # points, so interpolating it gives the exact sum over any rectangle.
    integral = cv2.integral(source, sdepth=cv2.CV_32S)
    sums = _sums_between(_sums_between(integral, rows, top, 0), columns, left, 1)
    area = np.outer(rows[1] - rows[0], columns[1] - columns[0])[..., None]
    # Halves go up, as where the ratio is 2.
    return np.floor(sums / area + 0.5).clip(0, WHITE).astype(np.uint8)


def _whole_factor(rows: Spans, columns: Spans) -> int:
    """Return n where every rectangle is n x n whole px, else 0."""
    factor = round(rows[1][0] - rows[0][0])
    for begin, end in (rows, columns):
        whole = round(begin[0]) + factor * np.arange(len(begin))
        off = max(np.abs(begin - whole).max(), np.abs(end - whole - factor).max())
        if factor < 1 or off > 1e-9:
            return 0
    return factor


def _sums_between(integral: NDArray[Any], spans: Spans, offset: int, axis: int) -> Doubles:
    """Return the sums over ``spans`` along ``axis`` of an integral image from ``offset``."""
    end, begin = (_at(integral, borders - offset, axis) for borders in reversed(spans))
    return end - begin


def _at(integral: NDArray[Any], places: Doubles, axis: int) -> Doubles:
    """Interpolate along ``axis``."""
    low = np.clip(np.floor(places), 0, integral.shape[axis] - 2).astype(np.int64)
    shares = (places - low).reshape([-1 if i == axis else 1 for i in range(integral.ndim)])
    below = integral.take(low, axis).astype(np.float64)
    return np.asarray(below + shares * (integral.take(low + 1, axis) - below))


def _enlarged(
    read: ReadSource, down: Axis, across: Axis, y: int, x: int, height: int, width: int
) -> Pixels:
    """Interpolate by cubic convolution; beyond the source its border pixels go on."""
    rows, row_weights = _cubic_taps(down.centres(y, height), down.length)
    columns, column_weights = _cubic_taps(across.centres(x, width), across.length)
    top, left = int(rows.min()), int(columns.min())
    source = read(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
    tall = np.zeros((height, source.shape[1], 3), np.float32)
    for tap in range(4):
        tall += row_weights[tap][:, None, None] * source[rows[tap] - top]
    full = np.zeros((height, width, 3), np.float32)
    for tap in range(4):
        full += column_weights[tap][None, :, None] * tall[:, columns[tap] - left]
    return np.rint(full).clip(0, WHITE).astype(np.uint8)


def _cubic_taps(centres: Doubles, length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return index and weight of the four source px under each centre: two of (4, n)."""
    a = -0.75  # as OpenCV has it
    first = np.floor(centres)
    t = centres - first
    near, far = 1.0 - t, 2.0 - t
    weights = np.stack(
        [
            ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
            ((a + 2) * t - (a + 3)) * t * t + 1,
            ((a + 2) * near - (a + 3)) * near * near + 1,
            ((a * far - 5 * a) * far + 8 * a) * far - 4 * a,
        ]
    )
    index = first.astype(np.int64) + np.arange(-1, 3)[:, None]
    return np.clip(index, 0, length - 1), weights.astype(np.float32)

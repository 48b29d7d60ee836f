"""Coordinates of outlines in words, as JSON has them: most of the text of a GeoJSON."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.nuclei.polygons import Polygons

_MINUS, _POINT, _ZERO = ord("-"), ord("."), ord("0")
_COMMA, _OPEN, _CLOSE = ord(","), ord("["), ord("]")


def in_words(polygons: Polygons) -> pa.StringArray:
    """Word the points of each polygon, ``x,y],[x,y``, to two decimals.

    Parameters
    ----------
    polygons : Polygons
        N, coordinates below 1e13 either way.

    Returns
    -------
    pyarrow.StringArray
        N texts; zeros at a number's end are left out, and so is the point of a whole number.
    """
    # As numpy rounds: a half to the even one.
    hundredths = np.rint(polygons.points * 100).astype(np.int64)
    text, ends = _written(hundredths, polygons.first)
    buffers = pa.py_buffer(ends), pa.py_buffer(text)
    return pa.StringArray.from_buffers(len(polygons), *buffers)


@compiled
def _written(
    hundredths: NDArray[np.int64], first: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return all characters, and where each polygon's text begins; the last one is the end."""
    largest, digits = np.abs(hundredths).max() if hundredths.size else 0, 3
    while largest >= 10**digits:
        digits += 1
    # A sign, the digits and a point, for x and y; and what separates them and the next ones.
    text = np.empty(len(hundredths) * (2 * (digits + 2) + 4), np.uint8)
    ends = np.zeros(first.size, np.int32)
    size = 0
    for each in range(first.size - 1):
        for at in range(first[each], first[each + 1]):
            if at > first[each]:
                text[size], text[size + 1], text[size + 2] = _CLOSE, _COMMA, _OPEN
                size += 3
            size = _number(hundredths[at, 0], text, size)
            text[size] = _COMMA
            size = _number(hundredths[at, 1], text, size + 1)
        ends[each + 1] = size
    return text[:size].copy(), ends


@compiled
def _number(hundredths: int, text: NDArray[np.uint8], at: int) -> int:
    """Write a number from ``at`` on; return where it ends."""
    if hundredths < 0:
        text[at] = _MINUS
        at, hundredths = at + 1, -hundredths
    whole, rest = hundredths // 100, hundredths % 100
    digits, beyond = 1, 10
    while whole >= beyond:
        digits, beyond = digits + 1, beyond * 10
    for place in range(at + digits - 1, at - 1, -1):
        text[place] = _ZERO + whole % 10
        whole //= 10
    at += digits
    if rest:
        text[at], text[at + 1] = _POINT, _ZERO + rest // 10
        at += 2
        if rest % 10:
            text[at] = _ZERO + rest % 10
            at += 1
    return at

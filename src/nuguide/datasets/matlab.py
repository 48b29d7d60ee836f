"""A matrix of numbers out of a MATLAB file of level 5; from 7.3 on such files are HDF5.

Read here, and not by scipy, whose reader follows the numbers of a damaged file out of its own
tables, which ends the process.

References
----------
The MathWorks: MAT-File Format.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2 << 30
"""Most bytes of a file."""

DAMAGE = (OSError, ValueError, LookupError, struct.error, zlib.error)
"""What ``read_matrix`` raises."""

_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 0x800
_TYPES = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_BEGINNING = 4096
"""Bytes of a variable that tell its shape and name."""


def read_matrix(path: Path, name: str, most: int) -> NDArray[Any]:
    """Read one real matrix of at most ``most`` numbers; nothing larger is unpacked.

    Raises
    ------
    DAMAGE
        If there is none, it is of more numbers or another kind, or the file is damaged.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    order = _ORDERS.get(data[_HEADER - 2 : _HEADER])
    if order is None or len(data) > MAX_BYTES:
        raise ValueError("it is no file of level 5, or too large")
    held = []
    for beginning, rest in _variables(data, order):
        shape, found, at = _described(beginning, order)
        held.append(f"{found} {' x '.join(map(str, shape))}")
        if found == name:
            if len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] > most:
                break
            return _numbers(beginning + rest(8 * shape[0] * shape[1] + 64), at, shape, order)
    raise ValueError(f"it holds {', '.join(held)[:80] or 'nothing'}")


def _variables(data: bytes, order: str) -> Iterator[tuple[bytes, Callable[[int], bytes]]]:
    """Yield the beginning of each variable, and what gives so many bytes more of it."""
    at = _HEADER
    while at < len(data):
        kind, count = struct.unpack_from(f"{order}II", data, at)
        body = data[at + 8 : at + 8 + count]
        if kind == _MATRIX:
            yield body[:_BEGINNING], partial(_more, body)
        elif kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            beginning = unpacker.decompress(body, _BEGINNING + 8)
            if struct.unpack_from(f"{order}I", beginning)[0] == _MATRIX:
                yield beginning[8:], partial(unpacker.decompress, unpacker.unconsumed_tail)
        at += 8 + count


def _more(body: bytes, count: int) -> bytes:
    return body[_BEGINNING : _BEGINNING + count]


def _described(beginning: bytes, order: str) -> tuple[tuple[int, ...], str, int]:
    """Return a variable's shape, its name, and where its numbers begin."""
    _, flags, _, at = _element(beginning, 0, order)
    _, sizes, count, at = _element(beginning, at, order)
    _, letters, length, at = _element(beginning, at, order)
    if struct.unpack_from(f"{order}I", beginning, flags)[0] & _COMPLEX:
        raise ValueError("it holds complex numbers")
    shape = struct.unpack_from(f"{order}{min(count, 64) // 4}i", beginning, sizes)
    return shape, beginning[letters : letters + length].decode("latin-1"), at


def _element(data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Return an element's type, where its data lie, how many bytes they are, where it ends."""
    kind, count = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:  # up to four bytes lie in the second half of the tag itself
        return kind & 0xFFFF, at + 4, kind >> 16, at + 8
    return kind, at + 8, count, at + 8 + count + -count % 8


def _numbers(data: bytes, at: int, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    kind, start, count, _ = _element(data, at, order)
    # Whatever type the matrix has, its numbers are stored in the shortest that holds them.
    if kind not in _TYPES:
        raise ValueError(f"it holds data of type {kind}, no numbers")
    dtype = np.dtype(order + _TYPES[kind])
    size = shape[0] * shape[1]
    if count != size * dtype.itemsize:
        raise ValueError(f"it holds {count} bytes for {size} numbers of {dtype}")
    return np.frombuffer(data, dtype, size, start).reshape(shape[::-1]).T

"""Polygons in two arrays: however many there are, no object for each, and no lock of Python's."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.errors import InputError

# One ring, little-endian: byte order, kind, rings, points; then x and y of each point, float64.
_HEAD = np.dtype([("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4")])
_LITTLE_ENDIAN, _POLYGON = 1, 3
_POINT_BYTES = 16


@dataclass(frozen=True)
class Polygons:
    """Polygons without holes.

    Attributes
    ----------
    points : ndarray
        (V, 2) float64, coordinates (x right, y down); the last point of each is its first.
    first : ndarray
        (N + 1,) int64: where in ``points`` each begins; the last one is the end.
    """

    points: NDArray[np.float64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.first) - 1

    @classmethod
    def from_wkb(cls, column: pa.Array | pa.ChunkedArray) -> Self:
        """Read a column of WKB.

        Raises
        ------
        InputError
            If one is not a polygon of one ring as ``to_wkb`` writes it.
        """
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        _, ends, data = column.cast(pa.binary()).buffers()
        if not len(column) or data is None:
            return cls(np.empty((0, 2)), np.zeros(1, np.int64))
        at = np.frombuffer(ends, np.int32)[column.offset : column.offset + len(column) + 1]
        points, first, wrong = _read(np.frombuffer(data, np.uint8), at.astype(np.int64))
        if wrong >= 0:
            raise InputError(
                f"outline {wrong} of {len(column)} is no polygon of one ring, little-endian WKB; "
                "expected what nuguide writes; run nuguide segment again"
            )
        return cls(points.view(np.float64).reshape(-1, 2), first)

    def to_wkb(self) -> pa.BinaryArray:
        """Write each as WKB, little-endian."""
        head = np.zeros((len(self), _HEAD.itemsize), np.uint8)
        fields = head.reshape(-1).view(_HEAD)
        fields["order"], fields["kind"], fields["rings"] = _LITTLE_ENDIAN, _POLYGON, 1
        fields["points"] = np.diff(self.first)
        ends = np.arange(len(self) + 1) * _HEAD.itemsize + self.first * _POINT_BYTES
        points = np.ascontiguousarray(self.points, "<f8").reshape(-1).view(np.uint8)
        # Arrow's own memory: the table outlives the region, whose maps want theirs in one piece.
        data = pa.allocate_buffer(int(ends[-1]))
        _write(head, points, self.first, np.frombuffer(data, np.uint8))
        buffers = [None, pa.py_buffer(ends.astype(np.int32)), data]
        return pa.Array.from_buffers(pa.binary(), len(self), buffers)

    def to_shapely(self) -> NDArray[np.object_]:
        """Return (N,) shapely polygons."""
        ring = np.repeat(np.arange(len(self)), np.diff(self.first))
        return np.asarray(
            shapely.polygons(shapely.linearrings(self.points, indices=ring)), np.object_
        )

    def bounds(self) -> NDArray[np.float64]:
        """Return (N, 4) x, y of the upper left corner and of the lower right one."""
        if not len(self):
            return np.empty((0, 4))
        low = np.minimum.reduceat(self.points, self.first[:-1])
        return np.hstack([low, np.maximum.reduceat(self.points, self.first[:-1])])


@compiled
def _read(
    data: NDArray[np.uint8], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return the bytes of all points, where each polygon's begin, and the first that is wrong."""
    count = ends.size - 1
    first = np.zeros(count + 1, np.int64)
    for each in range(count):
        begin, size = ends[each], ends[each + 1] - ends[each] - 13
        points = size // 16
        if points < 4 or size % 16 or data[begin] != 1 or data[begin + 1] != 3:
            return np.empty(0, np.uint8), first, each
        told, rings = np.int64(0), np.int64(0)
        for byte in range(4):
            rings |= np.int64(data[begin + 5 + byte]) << (8 * byte)
            told |= np.int64(data[begin + 9 + byte]) << (8 * byte)
        if data[begin + 2] or data[begin + 3] or data[begin + 4] or rings != 1 or told != points:
            return np.empty(0, np.uint8), first, each
        first[each + 1] = first[each] + points
    found = np.empty(first[count] * 16, np.uint8)
    for each in range(count):
        found[first[each] * 16 : first[each + 1] * 16] = data[ends[each] + 13 : ends[each + 1]]
    return found, first, -1


@compiled
def _write(
    head: NDArray[np.uint8],
    points: NDArray[np.uint8],
    first: NDArray[np.int64],
    data: NDArray[np.uint8],
) -> None:
    """Lay each polygon's head and points into ``data``, one polygon after the other."""
    at = 0
    for each in range(len(head)):
        data[at : at + 13] = head[each]
        at += 13
        end = at + (first[each + 1] - first[each]) * 16
        data[at:end] = points[first[each] * 16 : first[each + 1] * 16]
        at = end

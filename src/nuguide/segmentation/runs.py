"""The pixels of nuclei as runs: small enough to keep beside each nucleus until the image is joined.

A run is (y, x, length): ``length`` pixels of row y from column x on, full-resolution px.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.errors import OutputError
from nuguide.slides.regions import Box

RUNS = pa.field("runs", pa.list_(pa.int32()), nullable=False)
"""Column of a nucleus' runs: y, x, length, y, x, length, ..."""


def runs_of(labels: NDArray[np.int32], origin_px: tuple[int, int]) -> pa.ListArray:
    """List the runs of every nucleus.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32, 0 = background, nuclei 1 .. n.
    origin_px : tuple of int
        (y, x) of ``labels[0, 0]``, full-resolution px.

    Returns
    -------
    pyarrow.ListArray
        Of length n; row i holds label i + 1, from its topmost row down.
    """
    offsets, flat = _listed(labels, *origin_px, int(labels.max(initial=0)))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)).cast(RUNS.type)


@compiled
def _listed(
    labels: NDArray[np.int32], top: int, left: int, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Where in the second array each nucleus' runs begin, (count + 1,), and the runs."""
    height, width = labels.shape
    size = np.zeros(count + 1, np.int32)
    for y in range(height):
        before = 0
        for x in range(width):
            label = labels[y, x]
            if label != before and label > 0:
                size[label] += 3
            before = label
    offsets = np.cumsum(size).astype(np.int32)
    flat = np.empty(offsets[count], np.int32)
    filled = offsets.copy()  # of nucleus i + 1, up to where its runs are written
    for y in range(height):
        before = 0
        for x in range(width):
            label = labels[y, x]
            if label > 0:
                at = filled[label - 1]
                if label != before:
                    flat[at], flat[at + 1], flat[at + 2] = y + top, x + left, 0
                    filled[label - 1] = at = at + 3
                flat[at - 1] += 1
            before = label
    return offsets, flat


def box_of(runs: pa.ListArray) -> Box:
    """Return the smallest box that holds all runs; there must be some."""
    y, x, length = _triples(runs).T
    top, left = int(y.min()), int(x.min())
    return Box(top, left, int(y.max()) + 1 - top, int((x + length).max()) - left)


def check_inside(runs: pa.ListArray, shape: tuple[int, int]) -> None:
    """Refuse runs that reach outside an image.

    Parameters
    ----------
    runs : pyarrow.ListArray
        As kept beside nuclei.
    shape : tuple of int
        (H, W) of the image.

    Raises
    ------
    OutputError
        If one does: these are not the runs of this image.
    """
    y, x, length = _triples(runs).T.astype(np.int64)
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x + length <= shape[1])
    if not inside.all():
        raise OutputError(
            "a nucleus that was kept of this run reaches outside the image; expected those that "
            "nuguide left in the folder; run the same command again with --overwrite"
        )


def paint(
    runs: pa.ListArray, window: NDArray[np.int32], origin_px: tuple[int, int], first: int
) -> None:
    """Paint what of nuclei lies in a window, where it is still blank.

    Parameters
    ----------
    runs : pyarrow.ListArray
        Row i is painted with the number ``first`` + i; where two overlap the earlier one stays.
    window : ndarray
        (h, w) int32; it is changed.
    origin_px : tuple of int
        (y, x) of ``window[0, 0]``, full-resolution px.
    first : int
        Number of the first row.
    """
    ends = np.cumsum(runs.value_lengths().to_numpy(zero_copy_only=False) // 3)
    _painted(_triples(runs), ends, window, *origin_px, first)


@compiled
def _painted(
    triples: NDArray[np.int32],
    ends: NDArray[np.int64],
    window: NDArray[np.int32],
    top: int,
    left: int,
    first: int,
) -> None:
    height, width = window.shape
    row = 0
    for at in range(len(triples)):
        while at >= ends[row]:
            row += 1
        y, begin = triples[at, 0] - top, triples[at, 1] - left
        if 0 <= y < height:
            for x in range(max(begin, 0), min(begin + triples[at, 2], width)):
                if window[y, x] == 0:
                    window[y, x] = first + row


def _triples(runs: pa.ListArray) -> NDArray[np.int32]:
    flat = runs.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat, np.int32).reshape(-1, 3)

"""Nuclei in one piece: what lies apart from the rest of its label is taken away."""

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled

Integers = NDArray[np.int32]

Runs = tuple[Integers, Integers, Integers]
"""Row, first column and last of each run of one label, from the top down, (R,) each."""


def without_specks(labels: Integers) -> Integers:
    """Keep the largest piece of every label.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32, 0 = background.

    Returns
    -------
    ndarray
        (H, W) int32. Pixels that meet at a corner are one piece, as they are to an outline; of
        pieces of one size the topmost is kept.
    """
    runs = _listed(labels)
    return _cleared(labels, *runs, _pieces(labels, *runs))


@compiled
def _listed(labels: Integers) -> Runs:
    height, width = labels.shape
    count = 0
    for y in range(height):
        before = 0
        for x in range(width):
            count += labels[y, x] > 0 and labels[y, x] != before
            before = labels[y, x]
    row, first = np.empty(count, np.int32), np.empty(count, np.int32)
    last = np.empty(count, np.int32)
    run = -1
    for y in range(height):
        before = 0
        for x in range(width):
            if labels[y, x] > 0:
                if labels[y, x] != before:
                    run += 1
                    row[run], first[run] = y, x
                last[run] = x
            before = labels[y, x]
    return row, first, last


@compiled
def _pieces(labels: Integers, row: Integers, first: Integers, last: Integers) -> NDArray[np.int64]:
    """Return the piece of each run, (R,): the number of the piece's first run."""
    piece = np.arange(row.size)
    above = 0  # the first run that may meet this one, or one behind it
    for run in range(row.size):
        while row[above] < row[run] - 1 or (row[above] < row[run] and last[above] < first[run] - 1):
            above += 1
        other = above
        while row[other] < row[run] and first[other] <= last[run] + 1:
            if labels[row[other], first[other]] == labels[row[run], first[run]]:
                one, two = _root(piece, run), _root(piece, other)
                piece[max(one, two)] = min(one, two)
            other += 1
    for run in range(row.size):
        piece[run] = _root(piece, run)
    return piece


@compiled
def _root(piece: NDArray[np.int64], run: int) -> int:
    while piece[run] != run:
        run = piece[run]
    return run


@compiled
def _cleared(
    labels: Integers, row: Integers, first: Integers, last: Integers, piece: NDArray[np.int64]
) -> Integers:
    """Return the labels with 0 in all pieces of each but the largest."""
    size = np.zeros(row.size, np.int64)
    for run in range(row.size):
        size[piece[run]] += last[run] - first[run] + 1
    largest = np.full(labels.max() + 1 if row.size else 1, -1, np.int64)
    for run in range(row.size):
        label = labels[row[run], first[run]]
        if largest[label] < 0 or size[piece[run]] > size[largest[label]]:
            largest[label] = piece[run]
    kept = labels.copy()
    for run in range(row.size):
        if piece[run] != largest[labels[row[run], first[run]]]:
            kept[row[run], first[run] : last[run] + 1] = 0
    return kept

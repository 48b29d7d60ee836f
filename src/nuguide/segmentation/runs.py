"""The pixels of nuclei as runs: small enough to keep beside each nucleus until the image is joined.

A run is (y, x, length): ``length`` pixels of row y from column x on, full-resolution px.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
    width = labels.shape[1] + 1
    flat = np.pad(labels, ((0, 0), (0, 1))).ravel()  # the added column ends every row's last run
    start = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    length = np.diff(start, append=flat.size)
    label = flat[start]
    order = np.argsort(label, kind="stable")
    order = order[np.searchsorted(label[order], 1) :]
    y, x = np.divmod(start[order], width)
    triples = np.stack([y + origin_px[0], x + origin_px[1], length[order]], axis=1)
    first = np.searchsorted(label[order], np.arange(1, int(labels.max(initial=0)) + 2))
    return pa.ListArray.from_arrays(
        pa.array(3 * first, pa.int32()), pa.array(triples.ravel(), pa.int32())
    ).cast(RUNS.type)


@dataclass(frozen=True)
class Pixels:
    """The pixels of some nuclei.

    Attributes
    ----------
    y, x : ndarray
        (P,) full-resolution px.
    row : ndarray
        (P,) which of the nuclei each belongs to, from 0.
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    row: NDArray[np.int64]


def pixels_of(runs: pa.ListArray) -> Pixels:
    """Spell out the pixels of every nucleus' runs, nucleus by nucleus."""
    y, x, length = runs.flatten().to_numpy(zero_copy_only=False).reshape(-1, 3).T.astype(np.int64)
    row = np.repeat(np.arange(len(runs)), runs.value_lengths().to_numpy(zero_copy_only=False) // 3)
    begin = np.cumsum(length) - length
    along = np.arange(int(length.sum())) - np.repeat(begin, length)
    return Pixels(np.repeat(y, length), np.repeat(x, length) + along, np.repeat(row, length))

"""Label maps that were written, TIFF or OME-Zarr, read again by windows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from nuguide.export.label_pyramid import CHUNK_PX, NUCLEI
from nuguide.slides.tiff_checks import DAMAGE, quiet

LabelMap: TypeAlias = NDArray[Any] | zarr.Array
"""(H, W) integers >= 0, 0 = background, n = row n - 1 of the nucleus table."""


@contextmanager
def opened_labels(labels: NDArray[np.int32] | Path) -> Iterator[LabelMap]:
    """Open a ``labels.tif`` or the full resolution of a ``labels.ome.zarr``, to read only.

    A label map that lies in memory is given as it is.
    """
    if not isinstance(labels, Path):
        yield labels
    elif labels.is_dir():
        yield zarr.open_array(labels / NUCLEI / "0", mode="r")
    else:
        with quiet(), tifffile.TiffFile(labels, _multifile=False) as tiff:
            yield zarr.open_array(tiff.aszarr(), mode="r")


def windows_of(labels: LabelMap) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
    """Give (y, x, labels) of every window of a chunk's size that holds a nucleus."""
    for y in range(0, labels.shape[0], CHUNK_PX):
        for x in range(0, labels.shape[1], CHUNK_PX):
            window = np.asarray(labels[y : y + CHUNK_PX, x : x + CHUNK_PX])
            if window.any():
                yield y, x, window.astype(np.int32)


def is_whole(path: Path, shape: tuple[int, int], nuclei: int) -> bool:
    """Tell whether a label map that was written can be read and holds every nucleus.

    A chunk that was lost reads as background: so each label is looked for.

    Parameters
    ----------
    path : Path
        ``labels.tif`` or ``labels.ome.zarr``.
    shape : (int, int)
        (H, W) of the image, px.
    nuclei : int
        How many there are.
    """
    seen = np.zeros(nuclei + 1, np.bool_)
    seen[0] = True
    try:
        with opened_labels(path) as labels:
            if labels.shape != shape:
                return False
            for _, _, window in windows_of(labels):
                seen[window] = True
    except DAMAGE:
        return False
    return bool(seen.all())

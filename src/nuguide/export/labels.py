"""The label map as TIFF, for ImageJ, napari, QuPath or any reader of images."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from nuguide.export.label_maps import LabelMap, opened_labels
from nuguide.files import replacing

_TILE_PX = 512
_DEFLATE_LEVEL = 6  # by libdeflate: in less than half of zlib's time
_PACKERS = 4  # threads: libdeflate leaves Python free, and a GPU's labels wait for it alone
_UM_PER_CM = 10_000.0
_BIG_FROM_BYTES = 1 << 31  # of pixels; far from the 4 GiB that a plain TIFF can hold


def write_labels(labels: NDArray[np.int32] | Path, path: Path, mpp: float) -> None:
    """Write a label map as a tiled, deflated TIFF with its scale in the resolution tags.

    Parameters
    ----------
    labels : ndarray or Path
        (H, W) int32 >= 0, 0 = background, n = row n - 1 of the nucleus table; or the
        ``labels.ome.zarr`` of a slide, which is then read tile by tile.
    path : Path
        Ends in ``.tif``; a BigTIFF where a plain one might not hold it.
    mpp : float
        um/px of ``labels``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    16 bits where they suffice for an array, else 32: more programs read the former.
    """
    few = not isinstance(labels, Path) and labels.max(initial=0) <= np.iinfo(np.uint16).max
    kind: np.dtype[Any] = np.dtype(np.uint16 if few else np.uint32)
    per_cm = _UM_PER_CM / mpp
    with opened_labels(labels) as source, replacing(path) as aside:
        height, width = source.shape
        tifffile.imwrite(
            aside,
            _packed_tiles(source, kind),
            shape=(height, width),
            dtype=kind,
            bigtiff=height * width * kind.itemsize > _BIG_FROM_BYTES,
            photometric="minisblack",
            tile=(_TILE_PX, _TILE_PX),
            compression="zlib",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            metadata=None,
            software=False,
        )


def _packed_tiles(source: LabelMap, kind: np.dtype[Any]) -> Iterator[bytes]:
    """Give the tiles as they stand in the file; a few are packed side by side.

    Most of a slide is blank, so its tile is packed once.
    """
    blank = _packed(np.zeros((_TILE_PX, _TILE_PX), kind))
    with ThreadPoolExecutor(_PACKERS, thread_name_prefix="labels") as packers:
        ahead: deque[Future[bytes] | None] = deque()
        for tile in _tiles(source, kind):
            ahead.append(None if tile is None else packers.submit(_packed, tile))
            if len(ahead) > 2 * _PACKERS:
                first = ahead.popleft()
                yield blank if first is None else first.result()
        for left in ahead:
            yield blank if left is None else left.result()


def _tiles(source: LabelMap, kind: np.dtype[Any]) -> Iterator[NDArray[Any] | None]:
    """Cut a map into tiles, row by row, those at the edges filled up with 0; None: a blank one."""
    for y in range(0, source.shape[0], _TILE_PX):
        for x in range(0, source.shape[1], _TILE_PX):
            window = source[y : y + _TILE_PX, x : x + _TILE_PX]
            if not window.any():
                yield None
                continue
            tile = np.zeros((_TILE_PX, _TILE_PX), kind)
            tile[: window.shape[0], : window.shape[1]] = window
            yield tile


def _packed(tile: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.deflate_encode(tile.tobytes(), _DEFLATE_LEVEL))

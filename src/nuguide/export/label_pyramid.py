"""The label map of a whole slide as OME-Zarr: painted by windows, then a pyramid to look at.

``labels.ome.zarr`` is an OME-NGFF 0.4 image (Zarr 2), the slide's thumbnail, with the label map
under it at ``labels/nuclei``: level 0 is the full resolution, each next one half of it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from nuguide.files import replacing_folder

NGFF_VERSION = "0.4"
NUCLEI = "labels/nuclei"
"""Where the label map lies in the folder; its full resolution is the array ``labels/nuclei/0``."""

CHUNK_PX = 1024
_KEPT_CHUNKS = 16  # under a region of the usual size, at 0.25 um/px; 64 MB
_COMPRESSOR = {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1, "blocksize": 0}

_Part = tuple[slice, slice]


class LabelCanvas:
    """The label map of a slide on disk, read and painted by windows.

    Attributes
    ----------
    shape : tuple of int
        (H, W), full-resolution px.

    Notes
    -----
    Labels are int32 >= 0 here; 0 is background. On disk they are uint32, which every viewer
    takes. Only chunks with a label in them take space. Chunks used last are kept and written when
    others take their place: windows that follow one another share most of theirs.
    """

    def __init__(self, level: zarr.Array) -> None:
        self._level = level
        self._kept: OrderedDict[tuple[int, int], NDArray[np.uint32]] = OrderedDict()
        self.shape: tuple[int, int] = level.shape

    def read(self, y: int, x: int, height: int, width: int) -> NDArray[np.int32]:
        """Return the labels of a window inside the slide, (height, width) int32, a copy."""
        window = np.empty((height, width), np.uint32)
        for chunk, inside, part in self._touched(y, x, height, width):
            window[part] = chunk[inside]
        return window.view(np.int32)

    def write(self, y: int, x: int, labels: NDArray[np.int32]) -> None:
        """Put labels (h, w) in place of the window of that size at (y, x), inside the slide."""
        for chunk, inside, part in self._touched(y, x, *labels.shape):
            chunk[inside] = labels[part].view(np.uint32)

    def flush(self) -> None:
        """Write what is kept."""
        while self._kept:
            self._put_oldest()

    def _touched(
        self, y: int, x: int, height: int, width: int
    ) -> Iterator[tuple[NDArray[np.uint32], _Part, _Part]]:
        """Give the chunks under a window: each, the part of it, and the part of the window."""
        if min(y, x) < 0 or y + height > self.shape[0] or x + width > self.shape[1]:
            raise ValueError(f"window {(y, x, height, width)} leaves the slide {self.shape}")
        for top in range(y // CHUNK_PX * CHUNK_PX, y + height, CHUNK_PX):
            for left in range(x // CHUNK_PX * CHUNK_PX, x + width, CHUNK_PX):
                chunk = self._chunk(top, left)
                down = _shared(top, chunk.shape[0], y, height)
                along = _shared(left, chunk.shape[1], x, width)
                inside, part = zip(down, along, strict=True)
                yield chunk, inside, part

    def _chunk(self, top: int, left: int) -> NDArray[np.uint32]:
        place = top, left
        if place not in self._kept:
            self._kept[place] = self._level[_extent(*place)]
        self._kept.move_to_end(place)
        if len(self._kept) > _KEPT_CHUNKS:
            self._put_oldest()
        return self._kept[place]

    def _put_oldest(self) -> None:
        place, chunk = self._kept.popitem(last=False)
        self._level[_extent(*place)] = chunk


def _extent(top: int, left: int) -> _Part:
    """Return the px of a chunk; those of one at the far edges reach beyond the slide."""
    return slice(top, top + CHUNK_PX), slice(left, left + CHUNK_PX)


def _shared(chunk: int, size: int, begin: int, length: int) -> tuple[slice, slice]:
    """Return what a chunk and a window along an axis share, from the beginning of each."""
    first, last = max(chunk, begin), min(chunk + size, begin + length)
    return slice(first - chunk, last - chunk), slice(first - begin, last - begin)


@contextmanager
def open_labels(
    path: Path, shape: tuple[int, int], mpp: float, thumbnail: NDArray[np.uint8]
) -> Iterator[LabelCanvas]:
    """Open an empty label map to paint; when the block ends well it becomes ``path``.

    Parameters
    ----------
    path : Path
        Ends in ``.ome.zarr``; a former one is replaced at the end.
    shape : (int, int)
        (H, W) of the slide, full-resolution px.
    mpp : float
        um/px of the slide.
    thumbnail : ndarray
        (h, w, 3) uint8, the whole slide at any scale: the image under which the labels hang.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    Version 0.4 rather than 0.5: all of napari, Vitessce, QuPath, Fiji and ome-zarr read it, in
    the versions that people have. A label map alone is no OME-Zarr image, and napari opens
    nothing where only labels are; so the thumbnail is the image.
    """
    with replacing_folder(path) as aside:
        root = zarr.create_group(store=aside, zarr_format=2)
        _add_thumbnail(root, thumbnail, (mpp * shape[0], mpp * shape[1]), mpp)
        del thumbnail  # 30 MB of a large slide, kept here while labels are painted
        labels = root.create_group("labels", attributes={"labels": [NUCLEI.split("/")[1]]})
        nuclei = labels.create_group(NUCLEI.split("/")[1])
        level = _level(nuclei, 0, shape, np.dtype(np.uint32))
        canvas = LabelCanvas(level)
        yield canvas
        canvas.flush()
        scales = [[mpp, mpp]]
        while max(level.shape) > CHUNK_PX:
            level = _half(nuclei, level, len(scales))
            scales.append([2.0 * step for step in scales[-1]])
        nuclei.attrs.update(
            {
                "multiscales": [_multiscale("nuclei", ("y", "x"), scales)],
                "image-label": {"version": NGFF_VERSION, "source": {"image": "../../"}},
            }
        )


def _half(nuclei: zarr.Group, fine: zarr.Array, number: int) -> zarr.Array:
    """Make the next level of the pyramid, every second pixel, chunk by chunk.

    Labels cannot be averaged; with the first of each two pixels, pixel (0, 0) keeps its place on
    all levels.
    """
    height, width = (-(-length // 2) for length in fine.shape)
    coarse = _level(nuclei, number, (height, width), fine.dtype)
    for y in range(0, height, CHUNK_PX):
        for x in range(0, width, CHUNK_PX):
            window = fine[2 * y : 2 * (y + CHUNK_PX), 2 * x : 2 * (x + CHUNK_PX)][::2, ::2]
            if window.any():
                coarse[y : y + CHUNK_PX, x : x + CHUNK_PX] = window
    return coarse


def _level(
    group: zarr.Group, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> zarr.Array:
    chunks = (1,) * (len(shape) - 2) + (CHUNK_PX, CHUNK_PX)
    return group.create_array(
        str(number),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        compressors=_COMPRESSOR,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _add_thumbnail(
    root: zarr.Group, rgb: NDArray[np.uint8], size_um: tuple[float, float], mpp: float
) -> None:
    """Write the thumbnail as the image of ``root``, three channels, one level."""
    level = _level(root, 0, (3, *rgb.shape[:2]), rgb.dtype)
    level[:] = np.moveaxis(rgb, -1, 0)
    scale = [1.0, size_um[0] / rgb.shape[0], size_um[1] / rgb.shape[1]]
    multiscale = _multiscale("slide", ("c", "y", "x"), [scale])
    # Coordinates are those of the middles of pixels, and the first of the slide's is at 0.
    shift = [0.0, (scale[1] - mpp) / 2.0, (scale[2] - mpp) / 2.0]
    multiscale["datasets"][0]["coordinateTransformations"].append(
        {"type": "translation", "translation": shift}
    )
    channels = [
        {
            "label": name,
            "color": colour,
            "active": True,
            "window": {"min": 0, "max": 255, "start": 0, "end": 255},
        }
        for name, colour in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    ]
    root.attrs.update(
        {
            "multiscales": [multiscale],
            "omero": {"version": NGFF_VERSION, "channels": channels, "rdefs": {"model": "color"}},
        }
    )


def _multiscale(name: str, axes: tuple[str, ...], scales: list[list[float]]) -> dict[str, Any]:
    """Return the NGFF metadata of a pyramid, scales in um/px, finest first."""
    space = {"type": "space", "unit": "micrometer"}
    return {
        "version": NGFF_VERSION,
        "name": name,
        "axes": [
            {"name": axis, **({"type": "channel"} if axis == "c" else space)} for axis in axes
        ],
        "datasets": [
            {
                "path": str(number),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
            for number, scale in enumerate(scales)
        ],
    }

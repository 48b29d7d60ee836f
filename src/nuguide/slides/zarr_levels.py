"""OME-Zarr (0.4 and 0.5), read chunk by chunk by zarr."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.slides.colour import TWELVE_BITS, as_rgb
from nuguide.slides.decoded import MAX_SLIDE_PIXELS, MAX_TILE_PIXELS, check_extent
from nuguide.slides.finding import ZARR_METADATA
from nuguide.slides.levels import Level, Pixels, Stored, downsample_of
from nuguide.slides.scale import UM_PER_UNIT, Scale, plausible_scale

# What zarr and the codecs under it raise on damaged or foreign folders.
_DAMAGE = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, MemoryError)
_WHITE = {"uint8": 255, "uint16": 65535, "float32": 1.0, "float64": 1.0}


def open_zarr(path: Path) -> Stored:
    """Open an OME-Zarr image: the first multiscale image of the folder.

    Raises
    ------
    InputError
        If it holds no image, a stack, channels that are no RGB, or is damaged.
    """
    try:
        image = _image_group(zarr.open_group(str(path), mode="r"))
        described = _multiscale(image, path.name)
        axes = [dict(axis) for axis in described["axes"]]
        names = [str(axis["name"]) for axis in axes]
        arrays = [_array(image, str(data["path"])) for data in described["datasets"]]
        _check_axes(arrays[0], names, path.name)
        levels = ZarrLevels(arrays, names, path)
        return Stored(levels, _told_scales(described, axes), "OME-Zarr")
    except _DAMAGE as fault:
        raise _damaged(path.name, fault) from fault


class ZarrLevels:
    """The levels of an OME-Zarr image; chunks that are not stored are white."""

    in_memory = False

    def __init__(self, arrays: Sequence[Any], axes: Sequence[str], path: Path) -> None:
        self._path = path
        self._axes = axes
        down, across = axes.index("y"), axes.index("x")
        full = (arrays[0].shape[down], arrays[0].shape[across])
        check_extent(*full, path.name, MAX_SLIDE_PIXELS)
        sizes = [(array.shape[down], array.shape[across]) for array in arrays]
        kept = [i for i, size in enumerate(sizes) if i == 0 or 0 < size[0] < sizes[i - 1][0]]
        self._arrays = [arrays[i] for i in kept]
        self.levels = tuple(
            Level(
                shape=sizes[i],
                downsample=downsample_of(full, sizes[i]),
                tile=(arrays[i].chunks[down], arrays[i].chunks[across]),
            )
            for i in kept
        )
        for array in self._arrays:
            _check_chunks(array, path.name)
        self._twelve_bits = self._find_twelve_bits()

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Read a box of a level."""
        # A folder that has gone would read as chunks that were never stored: white.
        if not any((self._path / name).is_file() for name in ZARR_METADATA):
            raise _damaged(self._path.name, FileNotFoundError("its metadata have gone"))
        samples = self._samples(level, y, x, height, width)
        return as_rgb(samples, self._path.name, "straight", self._twelve_bits)

    def close(self) -> None:
        """Do nothing: zarr keeps no file open."""

    def _samples(self, level: int, y: int, x: int, height: int, width: int) -> NDArray[Any]:
        """Return (height, width, channels)."""
        extent = {"y": slice(y, y + height), "x": slice(x, x + width), "c": slice(None)}
        try:
            box = self._arrays[level][tuple(extent.get(axis, 0) for axis in self._axes)]
        except _DAMAGE as fault:
            raise _damaged(self._path.name, fault) from fault
        left = [axis for axis in self._axes if axis in extent]
        box = np.asarray(box)
        if "c" not in left:
            return box[..., None] if left == ["y", "x"] else box.T[..., None]
        return box.transpose([left.index(axis) for axis in "yxc"])

    def _find_twelve_bits(self) -> bool:
        """Tell whether 16-bit samples hold 12 bits, by the middle of the coarsest level."""
        if self._arrays[0].dtype != np.uint16:
            return False
        last = len(self.levels) - 1
        tall, wide = (min(2048, side) for side in self.levels[last].shape)
        y, x = (self.levels[last].shape[0] - tall) // 2, (self.levels[last].shape[1] - wide) // 2
        return int(self._samples(last, y, x, tall, wide).max()) < TWELVE_BITS


def _image_group(root: Any) -> Any:
    """Return the group of the first image: the root, or group "0" as bioformats2raw lays it out."""
    about = _ome(root)
    return root["0"] if "multiscales" not in about and "0" in root else root


def _ome(group: Any) -> Mapping[str, Any]:
    attributes = dict(group.attrs)
    return dict(attributes.get("ome", attributes))  # 0.5 keeps them under "ome", 0.4 at the top


def _multiscale(image: Any, name: str) -> Mapping[str, Any]:
    multiscales = _ome(image).get("multiscales")
    if not multiscales or not multiscales[0].get("datasets") or "axes" not in multiscales[0]:
        raise InputError(
            f"{name} is zarr without an image of OME-Zarr 0.4 or 0.5 (multiscales with axes); "
            "expected one; convert it, or name the group that holds the image"
        )
    return dict(multiscales[0])


def _array(image: Any, path: str) -> Any:
    if path.startswith("/") or ".." in Path(path).parts:
        raise ValueError(f"a level lies outside the folder: {path!r}")
    array = image[path]
    # What is not stored was not scanned: white, whatever the file would fill it with.
    white = array.dtype.type(_WHITE[array.dtype.name])
    metadata = dataclasses.replace(array.metadata, fill_value=white)
    return zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=array.store_path))


def _check_axes(array: Any, names: Sequence[str], name: str) -> None:
    """Refuse stacks and channels that are no RGB."""
    extent = dict(zip(names, array.shape, strict=True))
    if "y" not in extent or "x" not in extent:
        raise InputError(f"{name} has axes {', '.join(names)}; expected y and x; convert it")
    stacked = {axis: n for axis, n in extent.items() if axis not in "yxc" and n > 1}
    if stacked:
        raise InputError(
            f"{name} is a stack ({stacked}); expected one flat image; save the plane you mean as "
            "its own image"
        )
    if extent.get("c", 1) not in (1, 3, 4):
        raise InputError(
            f"{name} has {extent['c']} channels; expected grey, RGB or RGB with alpha; "
            "export it as RGB"
        )


def _check_chunks(array: Any, name: str) -> None:
    if math.prod(array.chunks) > 4 * MAX_TILE_PIXELS:
        raise InputError(
            f"{name} is stored in chunks of {' x '.join(map(str, array.chunks))}; expected at most "
            f"{MAX_TILE_PIXELS:,} px a chunk; save it with smaller chunks"
        )


def _told_scales(
    described: Mapping[str, Any], axes: Sequence[Mapping[str, Any]]
) -> tuple[Scale, ...]:
    """Multiply the scales of the finest level and of the whole image, in the units of the axes."""
    sizes = [1.0] * len(axes)
    found = False
    for holder in (described["datasets"][0], described):
        for transform in holder.get("coordinateTransformations", ()):
            if transform.get("type") == "scale":
                found = True
                sizes = [
                    size * float(factor)
                    for size, factor in zip(sizes, transform["scale"], strict=True)
                ]
    um = {
        axis["name"]: size * UM_PER_UNIT.get(str(axis.get("unit", "")).lower(), math.nan)
        for axis, size in zip(axes, sizes, strict=True)
    }
    scale = plausible_scale(um["x"], um["y"], "OME-Zarr metadata") if found else None
    return () if scale is None else (scale,)


def _damaged(name: str, fault: BaseException) -> InputError:
    reason = " ".join(str(fault).split()) or type(fault).__name__
    return InputError(
        f"{name} cannot be read as OME-Zarr ({reason}); expected a whole folder that stays in "
        "its place; copy or export it again"
    )

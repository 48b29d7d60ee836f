"""CoNSeP cut into overlapping tiles, stitched to whole images before anything is counted.

::

    index.csv              tile, split, parent_image, y_offset, x_offset
    images/<tile>.jpg|png
    masks/<tile>.png       instances, numbered by parent image
    types/<tile>.png       the four merged classes

A nucleus cut by a tile's border would count twice; numbers are unique within a parent image, so
overlapping tiles agree to the pixel, which is checked.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry
from nuguide.datasets.consep import MPP, consep
from nuguide.datasets.folder import class_map, unpaired
from nuguide.datasets.index import header_of, read_index
from nuguide.datasets.pictures import MAX_PIXELS, by_stem, read_pair
from nuguide.errors import DataSetError

_COLUMNS = {"tile", "split", "parent_image", "y_offset", "x_offset"}
_MAX_OFFSET = 100_000
_PARTS: dict[str, Literal["train", "test"]] = {"train": "train", "test": "test"}

Tile = tuple[str, int, int]
"""Name and offset (y, x) in px of the parent image."""


def is_consep_tiles(root: Path) -> bool:
    """Tell whether ``root`` has an index of tiles with parent images and classes."""
    return set(header_of(root / "index.csv")) >= _COLUMNS and (root / "types").is_dir()


def open_consep_tiles(root: Path, mpp: float | None = None) -> DataSet:
    """Open the tiles as whole images; ``mpp`` is not needed and not read.

    Raises
    ------
    DataSetError
        If the index is damaged, or a parent image has tiles in both parts.
    """
    tiles: dict[str, list[Tile]] = defaultdict(list)
    parts: dict[str, Literal["train", "test"]] = {}
    for number, row in enumerate(read_index(root / "index.csv", _COLUMNS), start=2):
        parent, split = row["parent_image"], row["split"]
        if split not in _PARTS or parts.get(parent, split) != split:
            raise DataSetError(
                f"{root / 'index.csv'}, line {number}, puts {parent} into {split!r}; expected all "
                "its tiles in train or in test; take the data set again"
            )
        parts[parent] = _PARTS[split]
        tiles[parent].append((row["tile"], *_offset(row, f"{root / 'index.csv'}, line {number},")))
    images, masks, types = (by_stem(root / name) for name in ("images", "masks", "types"))
    entries = [
        Entry(
            parent,
            partial(_read, root, parent, tuple(cut), images, masks, types),
            parts[parent],
            "colon",
            source=parent,
        )
        for parent, cut in sorted(tiles.items(), key=lambda item: _natural(item[0]))
    ]
    return consep(root, entries, unpaired(root, images, masks))


def _natural(name: str) -> tuple[str, int]:
    """Order by the number at the end: train_2 before train_10."""
    word, _, number = name.rpartition("_")
    return (word, int(number)) if number.isdecimal() else (name, 0)


def _offset(row: dict[str, str], where: str) -> tuple[int, int]:
    try:
        y, x = int(row["y_offset"]), int(row["x_offset"])
    except ValueError:
        y = x = -1
    if not (0 <= y <= _MAX_OFFSET and 0 <= x <= _MAX_OFFSET):
        raise DataSetError(
            f"{where} has the offset {row['y_offset']!r}, {row['x_offset']!r}; expected whole "
            f"numbers from 0 to {_MAX_OFFSET:,}; take the data set again"
        )
    return y, x


def _read(
    root: Path,
    parent: str,
    tiles: Sequence[Tile],
    images: dict[str, Path],
    masks: dict[str, Path],
    types: dict[str, Path],
) -> Sample:
    pieces, height, width = [], 0, 0
    for name, y, x in tiles:
        for folder, held in (("images", images), ("masks", masks), ("types", types)):
            if name not in held:
                raise DataSetError(
                    f"{root / folder} has no tile {name} of {parent}; expected all its "
                    f"{len(tiles)} tiles; take the data set again"
                )
        image, labels = read_pair(images[name], masks[name])
        height, width = max(height, y + labels.shape[0]), max(width, x + labels.shape[1])
        if height * width > MAX_PIXELS:
            raise DataSetError(
                f"{root / 'index.csv'} has tile {name} of {parent} at {y}, {x}, which makes it "
                f"{height} x {width} px; expected at most {MAX_PIXELS:,} px; take the data set "
                "again"
            )
        pieces.append((y, x, image, labels, class_map(types[name], images[name], image.shape)))
    whole = np.zeros((height, width, 3), np.uint8)
    instances = np.full((height, width), -1, np.int32)
    classes = np.zeros((height, width), np.uint8)
    for (name, _, _), (y, x, image, labels, kinds) in zip(tiles, pieces, strict=True):
        box = np.s_[y : y + labels.shape[0], x : x + labels.shape[1]]
        _check_overlap(root / "masks", name, instances[box], labels)
        whole[box], instances[box], classes[box] = image, labels, kinds
    if (instances < 0).any():
        raise DataSetError(
            f"{root} leaves {int((instances < 0).sum())} px of {parent} without a tile; expected "
            "tiles that cover it; take the data set again"
        )
    return Sample(parent, whole, instances, MPP, organ="colon", types=classes, source=parent)


def _check_overlap(folder: Path, name: str, there: NDArray[Any], labels: NDArray[np.int32]) -> None:
    differing = int(((there >= 0) & (there != labels)).sum())
    if differing:
        raise DataSetError(
            f"{folder}, tile {name}, differs from its neighbours in {differing} px of their "
            "overlap; expected the same instances; take the data set again"
        )

"""Anybody's data: a folder with ``images/`` and ``masks/``, paired by file stem.

::

    images/<stem>.png|tif|jpg|bmp
    masks/<stem>.png|tif      a label map, or a binary mask whose parts are the nuclei
    masks/<stem>.zip          or a RoiSet.zip of ImageJ's
    types/<stem>.png          optional: the class of each pixel
    ignore/<stem>.png         optional: not 0 where the annotation is ambiguous
    index.csv                 optional: a column name (or case, image, file) with stems, and any
                              of mpp, split (train, validation, test), organ, patient, source
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.imagej import read_roi_set
from nuguide.datasets.index import header_of, read_index
from nuguide.datasets.masks import Masks, numbered
from nuguide.datasets.pictures import (
    SUFFIXES,
    by_stem,
    check_fit,
    read_labels,
    read_mask,
    read_pair,
    read_rgb,
)
from nuguide.datasets.polygons import rasterise
from nuguide.errors import DataSetError, ResolutionError
from nuguide.units import checked_mpp

ROI_SET = ".zip"
FOLDS = 5

_NAME_COLUMNS = ("name", "case", "image", "file")
_COLUMNS = (*_NAME_COLUMNS, "mpp", "split", "organ", "patient", "source")
_PARTS: dict[str, Literal["train", "validation", "test", ""]] = {
    "": "",
    "train": "train",
    "training": "train",
    "fit": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Row:
    """What ``index.csv`` says of one image; empty or None where it says nothing."""

    part: Literal["train", "validation", "test", ""] = ""
    organ: str = ""
    patient: str = ""
    source: str = ""
    stratum: str = ""
    mpp: float | None = None
    mpp_estimated: bool = False


def is_folder(root: Path) -> bool:
    """Tell whether ``root`` has ``images/`` and ``masks/``."""
    return (root / "images").is_dir() and (root / "masks").is_dir()


def open_folder(root: Path, mpp: float | None, rows: dict[str, Row] | None = None) -> DataSet:
    """Pair every image of ``root/images`` with the mask of its stem in ``root/masks``.

    Of a binary mask the connected parts become the instances, see ``nuguide.datasets.masks``.

    Parameters
    ----------
    root : Path
        The folder.
    mpp : float or None
        um/px of all images; None: the rows say it.
    rows : dict of str to Row, or None
        What is known of each stem; None: what ``index.csv`` says.

    Returns
    -------
    DataSet
        Sorted by stem. An image without mask is an error among its findings.

    Raises
    ------
    DataSetError
        If there is no image, or two pictures share a stem.
    ResolutionError
        If an image has no um/px, or one out of range.
    """
    images = by_stem(root / "images")
    if not images:
        raise DataSetError(
            f"{root} holds no pictures in images/; expected images/ and masks/, paired by file "
            "name without its ending; give the folder that holds the two"
        )
    rows = rows_of_index(root / "index.csv") if rows is None else rows
    masks = by_stem(root / "masks", frozenset(SUFFIXES | {ROI_SET}))
    extra = {name: by_stem(root / name) for name in ("types", "ignore")}
    beside = Masks(masks.values())
    entries = tuple(
        entry_of(
            stated(rows.get(stem, Row()), mpp, path, root),
            image=path,
            mask=masks[stem],
            beside=beside,
            types=extra["types"].get(stem),
            ignore=extra["ignore"].get(stem),
        )
        for stem, path in images.items()
        if stem in masks
    )
    return DataSet(
        name="folder",
        title="folder of images and masks",
        licence="",
        root=root,
        entries=entries,
        findings=unpaired(root, images, masks) + tuple(_strangers(root, rows, images)),
        fold_counts=(FOLDS,),
    )


def stated(row: Row, mpp: float | None, image: Path, root: Path) -> Row:
    """Return the row of ``image`` with its um/px; ``mpp`` goes before the row's.

    Raises
    ------
    ResolutionError
        If neither tells um/px, or it is out of range.
    """
    scale = row.mpp if mpp is None else mpp
    if scale is None:
        raise ResolutionError(
            f"{image} has no um/px; expected --mpp, such as --mpp 0.25, or the column mpp of "
            f"{root / 'index.csv'} (columns name,mpp and a line for each image); add one of them"
        )
    return replace(row, mpp=checked_mpp(scale), mpp_estimated=row.mpp_estimated and mpp is None)


def entry_of(
    row: Row,
    *,
    image: Path,
    mask: Path,
    beside: Masks,
    types: Path | None = None,
    ignore: Path | None = None,
) -> Entry:
    """Make the entry of one image and its mask; the row has its um/px."""
    read = partial(_read, row, image, mask, beside, types, ignore)
    return Entry(image.stem, read, row.part, row.organ, row.patient, row.source, row.stratum)


def unpaired(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> tuple[Finding, ...]:
    """Name the images without mask and the masks without image."""
    bare = [
        Finding(
            "error",
            "image without mask",
            path.name,
            f"{path} has no mask; expected a picture named {stem}.* in {root / 'masks'}; "
            "add it, or take the image away",
        )
        for stem, path in images.items()
        if stem not in masks
    ]
    spare = [
        Finding(
            "warning",
            "mask without image",
            path.name,
            f"{path} has no image; expected a picture named {stem}.* in {root / 'images'}; "
            "add it, or take the mask away",
        )
        for stem, path in masks.items()
        if stem not in images
    ]
    return (*bare, *spare)


def rows_of_index(path: Path) -> dict[str, Row]:
    """Read ``index.csv`` by stem; no rows if there is none.

    Raises
    ------
    DataSetError
        If it is damaged, no column names the images, a column is spelt otherwise, an image has two
        rows, or a split is unknown.
    ResolutionError
        If an mpp is out of range.
    """
    if not path.is_file():
        return {}
    column = _name_column(path)
    rows: dict[str, Row] = {}
    for number, row in enumerate(read_index(path, {column}), start=2):
        name = row[column].strip()
        stem = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
        if stem in rows:
            raise DataSetError(
                f"{path}, line {number}, names {stem} again; expected one row for each image; "
                "take one of them away"
            )
        rows[stem] = _row(row, f"{path}, line {number},")
    return rows


def _name_column(path: Path) -> str:
    """Return the column that names the images, and refuse a header that is not understood."""
    header = header_of(path)
    # A column MPP would else be ignored, as any column that is not of ours is.
    for column in header:
        plain = column.strip().lower()
        if plain in _COLUMNS and plain != column:
            raise DataSetError(
                f"{path} has a column {column!r}; expected {plain!r}, in lower case and without "
                "spaces; rename it"
            )
    found = next((name for name in _NAME_COLUMNS if name in header), None)
    if found is None:
        shown = ",".join(header)[:80]
        raise DataSetError(
            f"{path} begins with {shown!r}; expected columns divided by commas, one of them "
            f"{', '.join(_NAME_COLUMNS[:-1])} or {_NAME_COLUMNS[-1]} for the images' names; write "
            "it such as name,mpp,split"
        )
    return found


def _row(row: dict[str, str], where: str) -> Row:
    # A blank behind a comma would make another patient, who may lie on the other side.
    told = {name: (row.get(name) or "").strip() for name in _COLUMNS}
    if told["split"].lower() not in _PARTS:
        raise DataSetError(
            f"{where} names the split {told['split']!r}; expected train, validation or test; "
            "correct it"
        )
    return Row(
        part=_PARTS[told["split"].lower()],
        organ=told["organ"],
        patient=told["patient"],
        source=told["source"],
        mpp=checked_mpp(told["mpp"], where) if told["mpp"] else None,
    )


def _strangers(root: Path, rows: dict[str, Row], images: dict[str, Path]) -> list[Finding]:
    """Name the rows of the index that no image answers to, and the images without a row."""
    if not rows:
        return []
    index = root / "index.csv"
    absent = [
        Finding(
            "warning",
            "row without image",
            stem,
            f"{index} names {stem}; expected a picture of that stem in {root / 'images'}; "
            "add it, or take the row away",
        )
        for stem in rows
        if stem not in images
    ]
    unlisted = [
        Finding(
            "warning",
            "image without row",
            path.name,
            f"{path} has no row in {index.name}; expected one for each image; add it",
        )
        for stem, path in images.items()
        if stem not in rows
    ]
    return absent + unlisted


def _read(
    row: Row, image: Path, mask: Path, beside: Masks, types: Path | None, ignore: Path | None
) -> Sample:
    binary = False
    if mask.suffix.lower() == ROI_SET:
        rgb = read_rgb(image)
        labels = rasterise(read_roi_set(mask), (rgb.shape[0], rgb.shape[1]))
    else:
        rgb, labels = read_pair(image, mask)
        binary = beside.is_binary(labels)
        labels = numbered(labels) if binary else labels
    classes = None if types is None else class_map(types, image, rgb.shape)
    blank = None if ignore is None else read_mask(ignore)
    if ignore is not None and blank is not None:
        check_fit(ignore, blank.shape, image, rgb.shape)
    return Sample(
        name=image.stem,
        image=rgb,
        labels=labels,
        mpp=checked_mpp(row.mpp),
        organ=row.organ,
        patient=row.patient,
        types=classes,
        ignore=blank,
        source=row.source,
        mpp_estimated=row.mpp_estimated,
        from_binary=binary,
    )


def class_map(path: Path, image: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read the class of each pixel, at most 255, for an image of ``shape``."""
    types = read_labels(path)
    check_fit(path, types.shape, image, shape)
    if types.max(initial=0) > 255:
        raise DataSetError(
            f"{path} holds class {types.max()}; expected classes from 1 to 255, 0 for background; "
            "number them anew"
        )
    return types.astype(np.uint8)

"""CoNIC: 4,981 H&E patches of 256 x 256 px at 20x, colon, six classes of nuclei.

Graham et al., CoNIC Challenge, Medical Image Analysis 92, 2024; cut from Lizard. CC BY-NC-SA 4.0.

::

    images.npy       (N, 256, 256, 3) uint8
    labels.npy       (N, 256, 256, 2): instance, class
    patch_info.csv   the larger image each patch was cut from, as <image>-<number>

The images of the challenge's own test part are not public: parts are folds over larger images,
balanced over the five collections they come from.
"""

import csv
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry
from nuguide.datasets.index import header_of, read_index
from nuguide.datasets.pictures import as_labels
from nuguide.errors import DataSetError

MPP = 0.5
"""um/px, nominal at 20x."""

CLASSES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
FOLDS = 5

DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    ArithmeticError,
    SyntaxError,
    TokenError,
    RecursionError,
    MemoryError,
)
"""What numpy raises on damaged arrays, whose headers it reads as Python."""

_INFO = "patch_info.csv"


def is_conic(root: Path) -> bool:
    """Tell whether ``root`` has ``images.npy`` and ``labels.npy``."""
    return (root / "images.npy").is_file() and (root / "labels.npy").is_file()


def open_conic(root: Path, mpp: float | None = None) -> DataSet:
    """Open CoNIC; ``mpp`` is not needed and not read. Patches stay on disk until they are read.

    Raises
    ------
    DataSetError
        If a file is missing or no such array, or their lengths differ.
    """
    images, labels = (_array(root / f"{name}.npy") for name in ("images", "labels"))
    _check(root / "images.npy", images, 3, (np.dtype(np.uint8),))
    _check(root / "labels.npy", labels, 2, tuple(map(np.dtype, ("u1", "u2", "i4", "u4", "i8"))))
    names = _patch_names(root / _INFO)
    if not len(images) == len(labels) == len(names) or images.shape[1:3] != labels.shape[1:3]:
        raise DataSetError(
            f"{root} has images {images.shape}, labels {labels.shape} and {len(names)} rows of "
            f"{_INFO}; expected as many of each, and of one size; take the data set again"
        )
    entries = [
        Entry(
            name,
            partial(_read, root, i, name),
            organ="colon",
            source=_source(name),
            stratum=_source(name).partition("_")[0],
        )
        for i, name in enumerate(names)
    ]
    return DataSet(
        name="conic",
        title="CoNIC",
        licence="CC BY-NC-SA 4.0",
        root=root,
        entries=tuple(entries),
        classes=CLASSES,
        fold_counts=(FOLDS,),
        folds_by_default=True,
    )


def _array(path: Path) -> NDArray[Any]:
    """Map an array into memory; its pages are read when they are asked for."""
    try:
        with np.errstate(over="raise"):  # a shape of more bytes than can be counted
            return np.lib.format.open_memmap(path, mode="r")
    except DAMAGE as error:
        raise DataSetError(
            f"{path} cannot be read ({' '.join(str(error).split())}); expected an array as numpy "
            "saves it, without objects; take the data set again"
        ) from error


def _check(
    path: Path, array: NDArray[Any], channels: int, dtypes: tuple[np.dtype[Any], ...]
) -> None:
    if array.ndim != 4 or array.shape[3] != channels or array.dtype not in dtypes:
        raise DataSetError(
            f"{path} is {array.shape} of {array.dtype}; expected (N, H, W, {channels}) of "
            f"{dtypes[0]}{' or wider' if len(dtypes) > 1 else ''}; take the data set again"
        )


def _patch_names(path: Path) -> list[str]:
    if not path.is_file():
        raise DataSetError(
            f"{path} is missing; expected it, to keep patches of one image on one side; "
            "take the data set as a whole"
        )
    column = next(iter(header_of(path)), "")
    try:
        return [row[column] for row in read_index(path, {column})]
    except csv.Error as error:
        raise DataSetError(
            f"{path} is no table ({error}); expected one patch a line; take the data set again"
        ) from error


def _source(name: str) -> str:
    return name.rpartition("-")[0] or name


def _read(root: Path, i: int, name: str) -> Sample:
    pair = _array(root / "labels.npy")[i]
    instances, types = pair[..., 0], pair[..., 1]
    if instances.min(initial=0) < 0 or not 0 <= types.min(initial=0) <= types.max(initial=0) <= 6:
        raise DataSetError(
            f"{root / 'labels.npy'}, patch {i} ({name}), holds numbers out of range; expected "
            "instances from 0 and classes from 0 to 6; take the data set again"
        )
    return Sample(
        name=name,
        image=np.array(_array(root / "images.npy")[i]),
        labels=as_labels(instances),
        mpp=MPP,
        organ="colon",
        types=types.astype(np.uint8),
        source=_source(name),
    )

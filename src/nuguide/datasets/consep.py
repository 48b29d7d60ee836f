"""CoNSeP: 41 H&E images of 1000 x 1000 px at 40x, colorectal, 27 to train and 14 to test.

Graham et al., HoVer-Net, Medical Image Analysis 58, 2019. Treat as CC BY-NC-SA 4.0. The images are
of 16 patients; the data do not tell which are of one.

As published::

    Train|Test/Images/<image>.png
    Train|Test/Labels/<image>.mat   inst_map, type_map (seven classes, of which four are made here)
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.folder import unpaired
from nuguide.datasets.matlab import DAMAGE, read_matrix
from nuguide.datasets.pictures import MAX_PIXELS, as_labels, by_stem, check_fit, read_rgb
from nuguide.errors import DataSetError

MPP = 0.25
"""um/px, nominal at 40x."""

CLASSES = ("miscellaneous", "inflammatory", "epithelial", "spindle-shaped")
"""As the paper merges them."""

_MERGED = np.array([0, 1, 2, 3, 3, 4, 4, 4], np.uint8)
"""Of the published classes: other, inflammatory, healthy and malignant epithelium, fibroblast,
muscle, endothelium."""

_PARTS: dict[str, Literal["train", "test"]] = {"Train": "train", "Test": "test"}


def is_consep(root: Path) -> bool:
    """Tell whether ``root`` has ``Train`` and ``Test`` of images and MATLAB files."""
    return any(any((root / part / "Labels").glob("*.mat")) for part in _PARTS)


def open_consep(root: Path, mpp: float | None = None) -> DataSet:
    """Open CoNSeP as published; ``mpp`` is not needed and not read."""
    entries: list[Entry] = []
    findings: list[Finding] = []
    for folder, part in _PARTS.items():
        images = by_stem(root / folder / "Images")
        labels = by_stem(root / folder / "Labels", frozenset({".mat"}))
        findings += unpaired(root / folder, images, labels)
        entries += [
            Entry(stem, partial(_read, path, labels[stem]), part, "colon", source=stem)
            for stem, path in images.items()
            if stem in labels
        ]
    return consep(root, entries, tuple(findings))


def consep(root: Path, entries: list[Entry], findings: tuple[Finding, ...]) -> DataSet:
    """Return the data set of entries, whatever their layout."""
    return DataSet(
        name="consep",
        title="CoNSeP",
        licence="CC BY-NC-SA 4.0",
        root=root,
        entries=tuple(entries),
        findings=findings,
        classes=CLASSES,
    )


def _read(path: Path, labels: Path) -> Sample:
    image = read_rgb(path)
    instances, types = (_matrix(labels, name) for name in ("inst_map", "type_map"))
    for values in (instances, types):
        check_fit(labels, values.shape, path, image.shape)
    if types.max(initial=0) >= len(_MERGED):
        raise DataSetError(
            f"{labels} holds class {types.max()}; expected classes from 0 to 7; take the data set "
            "again"
        )
    return Sample(
        name=path.stem,
        image=image,
        labels=as_labels(instances),
        mpp=MPP,
        organ="colon",
        types=_MERGED[types],
        source=path.stem,
    )


def _matrix(path: Path, name: str) -> NDArray[np.int32]:
    """Read one matrix of whole numbers from 0 out of a MATLAB file."""
    try:
        values = read_matrix(path, name, MAX_PIXELS)
    except DAMAGE as error:
        raise DataSetError(
            f"{path} cannot be read ({' '.join(str(error).split())[:200]}); expected a MATLAB file "
            f"before 7.3 with the matrix {name}; take the data set again"
        ) from error
    if not _whole(values):
        raise DataSetError(
            f"{path} holds {name} of shape {values.shape} and {values.dtype}; expected a matrix of "
            "whole numbers from 0; take the data set again"
        )
    return np.asarray(values, np.int32)


def _whole(values: NDArray[Any]) -> bool:
    """Tell whether all values are whole numbers that a label can be."""
    return bool(((values >= 0) & (values < 2**31) & (values == np.floor(values))).all())

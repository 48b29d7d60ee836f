"""Anybody's data: a folder with ``images/`` and ``masks/``, paired by file stem."""

from pathlib import Path

import cv2
import numpy as np

from nuguide.datasets.base import Sample
from nuguide.datasets.pictures import read_pair
from nuguide.errors import DataSetError
from nuguide.units import checked_mpp

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}
"""Endings, in lower case, of the files that count as pictures."""


def load_folder(root: Path, mpp: float | None) -> list[Sample]:
    """Read every image of ``root/images`` with the mask of its stem in ``root/masks``.

    A mask with a single value beside 0 is binary: its connected parts become the instances.

    Parameters
    ----------
    root : Path
        The folder.
    mpp : float or None
        um/px of all images.

    Returns
    -------
    list of Sample
        Sorted by file name.

    Raises
    ------
    DataSetError
        If there is no image, a mask is missing, unreadable or of another size than its image, or
        two pictures share a stem.
    ResolutionError
        If ``mpp`` is missing or out of range.
    """
    images, masks = _by_stem(root / "images"), _by_stem(root / "masks")
    if not images:
        raise DataSetError(
            f"{root} holds no pictures in images/; expected images/ and masks/, paired by file "
            "name without its ending; give the folder that holds the two"
        )
    scale = checked_mpp(mpp)
    for stem, path in images.items():
        if stem not in masks:
            raise DataSetError(
                f"{path} has no mask; expected a picture named {stem}.* in {root / 'masks'}; "
                "add it, or take the image away"
            )
    return [_sample(path, masks[stem], scale) for stem, path in images.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise DataSetError(
                f"{folder} holds {found[path.stem].name} and {path.name}; expected one picture a "
                "stem, by which images and masks are paired; rename or remove one"
            )
        found[path.stem] = path
    return found


def _sample(path: Path, mask: Path, mpp: float) -> Sample:
    image, labels = read_pair(path, mask)
    if len(np.unique(labels[labels > 0])) == 1:
        labels = np.asarray(cv2.connectedComponents((labels > 0).astype(np.uint8))[1], np.int32)
    return Sample(name=path.stem, image=image, labels=labels, mpp=mpp)

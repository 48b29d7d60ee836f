"""Anybody's data: a folder with ``images/`` and ``masks/``, paired by file stem."""

from pathlib import Path

import cv2
import numpy as np

from nuguide.datasets.base import Sample
from nuguide.datasets.pictures import read_labels, read_rgb
from nuguide.errors import DataSetError
from nuguide.units import checked_mpp

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}


def load_folder(root: Path, mpp: float | None) -> list[Sample]:
    """Read every image of ``root/images`` with the mask of its stem in ``root/masks``.

    A mask with a single value beside 0 is binary: its connected parts become the instances.

    Parameters
    ----------
    root : Path
        The folder.
    mpp : float or None
        um/px of all images.

    Raises
    ------
    DataSetError
        If a folder or a mask is missing, or a mask has another size than its image.
    ResolutionError
        If ``mpp`` is missing or out of range.
    """
    images = root / "images"
    found = sorted(p for p in images.glob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataSetError(
            f"{root} holds no images/ with pictures; expected images/ and masks/, "
            "paired by file name without its ending"
        )
    scale = checked_mpp(mpp)
    masks = {p.stem: p for p in (root / "masks").glob("*") if p.suffix.lower() in SUFFIXES}
    return [_sample(path, masks, scale) for path in found]


def _sample(path: Path, masks: dict[str, Path], mpp: float) -> Sample:
    if path.stem not in masks:
        raise DataSetError(
            f"{path} has no mask; expected a picture named {path.stem}.* in {path.parents[1]}/masks"
        )
    image, labels = read_rgb(path), read_labels(masks[path.stem])
    if image.shape[:2] != labels.shape:
        raise DataSetError(
            f"{masks[path.stem]} is {labels.shape[0]} x {labels.shape[1]} px; "
            f"expected {image.shape[0]} x {image.shape[1]} px, the size of its image"
        )
    if len(np.unique(labels)) <= 2:
        labels = np.asarray(cv2.connectedComponents((labels > 0).astype(np.uint8))[1], np.int32)
    return Sample(name=path.stem, image=image, labels=labels, mpp=mpp)

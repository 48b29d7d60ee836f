"""Reading the image and label files of data sets."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.errors import DataSetError


def read_pair(image: Path, mask: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Read an image and its label map.

    Returns
    -------
    rgb : ndarray
        (H, W, 3) uint8 RGB.
    labels : ndarray
        (H, W) int32, 0 = background.

    Raises
    ------
    DataSetError
        If a file is missing or not such a picture, or the sizes differ.
    """
    rgb, labels = read_rgb(image), read_labels(mask)
    if rgb.shape[:2] != labels.shape:
        raise DataSetError(
            f"{mask} is {labels.shape[0]} x {labels.shape[1]} px; expected {rgb.shape[0]} x "
            f"{rgb.shape[1]} px, the size of its image; put the mask of {image.name} there"
        )
    return rgb, labels


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 RGB.

    Raises
    ------
    DataSetError
        If the file is missing or no picture.
    """
    picture = _read(path, cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise DataSetError(
            f"{path} is missing or no picture; expected a PNG, TIFF or JPEG image; "
            "put it there again"
        )
    return np.asarray(picture, np.uint8)


def read_labels(path: Path) -> NDArray[np.int32]:
    """Read a label map as (H, W) int32, 0 = background.

    Raises
    ------
    DataSetError
        If the file is missing, no picture, has several channels, or holds other than whole
        numbers from 0.
    """
    picture = _read(path, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 2 or picture.dtype.kind not in "iu" or picture.min() < 0:
        raise DataSetError(
            f"{path} is missing or not a one-channel picture of whole numbers from 0; expected a "
            "label map, one number for each nucleus and 0 for background; save it as PNG or TIFF "
            "of 8 or 16 bits"
        )
    return np.asarray(picture, np.int32)


def _read(path: Path, how: int) -> NDArray[np.generic] | None:
    try:
        return cv2.imread(str(path), how) if path.is_file() else None
    except cv2.error:  # a header that promises more pixels than OpenCV allows
        return None

"""Reading the image and label files of data sets."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.errors import DataSetError


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 RGB.

    Raises
    ------
    DataSetError
        If the file is missing or no picture.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) if path.is_file() else None
    if picture is None:
        raise DataSetError(f"{path} is missing or no picture; expected a PNG, TIFF or JPEG image")
    return np.asarray(picture, np.uint8)


def read_labels(path: Path) -> NDArray[np.int32]:
    """Read a label map as (H, W) int32, 0 = background.

    Raises
    ------
    DataSetError
        If the file is missing, no picture, or has several channels.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if picture is None or picture.ndim != 2:
        raise DataSetError(
            f"{path} is missing or not a one-channel picture; expected a label map, "
            "one number for each nucleus and 0 for background"
        )
    return np.asarray(picture, np.int32)

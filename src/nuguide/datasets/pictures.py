"""Reading the image, label and mask files of data sets."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin

from nuguide.errors import DataSetError

SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}
"""Endings, in lower case, of the files that count as pictures."""

MAX_PIXELS = 170_000_000
"""Most pixels of one annotated image: 13,000 x 13,000."""

MAX_LABEL = (1 << 24) - 1
"""Greatest number of a nucleus that is kept: tables by number stay small, and float32 exact."""

_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error)
"""What the readers of headers raise on damaged files."""

_JPEG = b"\xff\xd8\xff"
"""What a file of JPEG begins with."""


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
    check_fit(mask, labels.shape, image, rgb.shape)
    return rgb, labels


def check_fit(mask: Path, mask_shape: tuple[int, ...], image: Path, shape: tuple[int, ...]) -> None:
    """Refuse a mask of another size than its image.

    Raises
    ------
    DataSetError
        Naming both sizes.
    """
    if mask_shape[:2] != shape[:2]:
        raise DataSetError(
            f"{mask} is {mask_shape[0]} x {mask_shape[1]} px; expected {shape[0]} x "
            f"{shape[1]} px, the size of its image; put the mask of {image.name} there"
        )


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 RGB.

    Raises
    ------
    DataSetError
        If the file is missing, no picture or too large.
    """
    # As stored, like masks and slides: no orientation tag is applied.
    picture = _read(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None:
        raise DataSetError(
            f"{path} is missing or no picture; expected a PNG, TIFF or JPEG image; "
            "put it there again"
        )
    return np.asarray(picture, np.uint8)


def read_labels(path: Path) -> NDArray[np.int32]:
    """Read a label map as (H, W) int32, 0 = background.

    Where a number is above ``MAX_LABEL``, all are counted anew, in their order.

    Raises
    ------
    DataSetError
        If the file is missing, no picture, JPEG or too large, has several channels, or holds
        other than whole numbers from 0.
    """
    picture = _read_mask(path)
    what = _no_label_map(picture)
    if what or picture is None:
        raise DataSetError(
            f"{path} is {what}; expected a label map, one channel with one whole number for each "
            "nucleus and 0 for background; save it as PNG or TIFF of 8 or 16 bits"
        )
    return as_labels(picture)


def as_labels(numbers: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return whole numbers from 0, of any width, as a label map.

    Where one is above ``MAX_LABEL``, all are counted anew, in their order.
    """
    if numbers.size and numbers.max() > MAX_LABEL:
        known, place = np.unique(numbers, return_inverse=True)
        numbers = place.reshape(numbers.shape) + int(known[0] > 0)  # 0 stays background
    return np.asarray(numbers, np.int32)


def _no_label_map(picture: NDArray[Any] | None) -> str:
    """Say why a picture is no label map; nothing if it is one."""
    if picture is None:
        return "missing or no picture"
    if picture.ndim != 2:
        return f"a picture in colours (labels stored as RGB? {picture.shape[2]} channels)"
    if picture.dtype.kind not in "iu":
        return f"a picture of {picture.dtype} numbers"
    if picture.size and picture.min() < 0:
        return "a picture with negative numbers"
    return ""


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a mask as (H, W) bool: whatever is not 0 in any channel but transparency.

    Raises
    ------
    DataSetError
        If the file is missing, no picture, JPEG or too large.
    """
    picture = _read_mask(path)
    if picture is None:
        raise DataSetError(
            f"{path} is missing or no picture; expected a mask as PNG or TIFF; put it there again"
        )
    return np.asarray(picture[..., :3].any(axis=2) if picture.ndim == 3 else picture != 0)


def _read_mask(path: Path) -> NDArray[Any] | None:
    """Read a picture whose numbers mean something, as they are stored."""
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_JPEG)) == _JPEG:
                # Beside every outline it has numbers that nobody wrote: each would be a nucleus.
                raise DataSetError(
                    f"{path} is a JPEG, which changes numbers; expected a mask without loss; save "
                    "it anew as PNG or TIFF from what it was made of"
                )
    picture = _read(path, cv2.IMREAD_UNCHANGED)
    turned_over = _check_tiff(path)
    return 255 - picture if picture is not None and turned_over else picture


def _check_tiff(path: Path) -> bool:
    """Tell whether OpenCV turns a picture's numbers over: that of a TIFF whose zero is white.

    Of an image that is right. A mask's numbers count as they are: tifffile stores every array of
    bool so, and ImageJ a mask with an inverting table of colours.

    Raises
    ------
    DataSetError
        If it is a TIFF of several pictures of one size, of which OpenCV would read the first.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            first, *more = tiff.pages[:2]
            if more and more[0].shape == first.shape:
                raise DataSetError(
                    f"{path} holds {len(tiff.pages)} pictures, the first two of one size; expected "
                    "one, the mask; save that alone"
                )
            tag = first.tags.valueof
            return bool(tag("PhotometricInterpretation") == 0 and tag("BitsPerSample", 1) <= 8)
    except _DAMAGE:  # or no TIFF
        return False


def _read(path: Path, how: int) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    _refuse_huge(path)
    try:
        return cv2.imread(str(path), how)
    except cv2.error:  # a header that promises more pixels than OpenCV allows
        return None


def _refuse_huge(path: Path) -> None:
    """Refuse by its header a picture of more than ``MAX_PIXELS``, before anything is decoded."""
    with path.open("rb") as file:
        start = file.read(4)
        reader = next((_SIZES[sign] for sign in _SIZES if start.startswith(sign)), None)
        if reader is None:
            return  # not known here; OpenCV has a limit of its own
        file.seek(0)
        try:
            width, height = reader(file)
        except _DAMAGE:
            return  # damaged: OpenCV will say so
    if width * height > MAX_PIXELS:
        raise DataSetError(
            f"{path} is {height} x {width} px; expected at most {MAX_PIXELS:,} px; cut it up"
        )


def _tiff_size(file: BinaryIO) -> tuple[int, int]:
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        orientation = page.tags.valueof("Orientation", 1)
        if orientation in range(2, 9):  # OpenCV turns it, and its mask or image need not say so
            raise DataSetError(
                f"{file.name} has the orientation tag {orientation}; expected 1, pixels as they "
                "lie; save it turned as it is shown, without the tag"
            )
        return int(page.imagewidth), int(page.imagelength)  # a damaged tag may hold several


# Pillow's plug-ins themselves: Image.open would apply a limit of its own, and warn; and its plug-in
# for TIFF warns of files that are merely damaged.
_SIZES: dict[bytes, Callable[[BinaryIO], tuple[int, int]]] = {
    b"\x89PNG": lambda file: PngImagePlugin.PngImageFile(file).size,
    _JPEG: lambda file: JpegImagePlugin.JpegImageFile(file).size,
    b"BM": lambda file: BmpImagePlugin.BmpImageFile(file).size,
    **dict.fromkeys((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"), _tiff_size),
}
"""What reads (width, height) from a picture's header, by its first bytes."""


def by_stem(
    folder: Path, suffixes: set[str] | frozenset[str] = frozenset(SUFFIXES)
) -> dict[str, Path]:
    """List the files of ``folder`` that end in one of ``suffixes`` by stem, sorted by name.

    Raises
    ------
    DataSetError
        If two files share a stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataSetError(
                f"{folder} holds {found[path.stem].name} and {path.name}; expected one picture a "
                "stem, by which images and masks are paired; rename or remove one"
            )
        found[path.stem] = path
    return found

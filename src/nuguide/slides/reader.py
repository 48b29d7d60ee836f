"""A slide: an image with a scale, read at any um/px."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError, ResolutionError
from nuguide.slides.colour import as_rgb
from nuguide.slides.decoded import MAX_PIXELS, Decoded, check_extent
from nuguide.slides.picture import JPEG_SIGNATURE, PNG_SIGNATURE, decode_jpeg, decode_png
from nuguide.slides.tiff import TIFF_SIGNATURES, decode_tiff
from nuguide.units import checked_mpp

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
WHITE = 255


class Slide:
    """An image of tissue with its scale.

    Attributes
    ----------
    name : str
        File name without its suffix, or the name given to an array.
    path : Path or None
        Where it was read from; None for an array.
    shape : tuple of int
        (H, W) at full resolution, px.
    mpp : float
        Microns per pixel at full resolution.
    mpp_source : str
        Where ``mpp`` came from: "--mpp", "TIFF resolution tags", "OME metadata", "PNG pHYs",
        "JPEG density" or "array".
    sha256 : str
        Digest of the file's bytes (what ``sha256sum`` prints), or of an array's pixels.

    Notes
    -----
    Reading at another um/px resamples the whole image once, on a grid anchored at its origin:
    pixel (i, j) at scale s covers [i/s, (i+1)/s] x [j/s, (j+1)/s] of full-resolution px. A read
    is a crop of that, so two reads agree to the bit wherever they overlap. The last scale asked
    for is kept. Shrinking averages over area; enlarging is cubic. Outside the image is white.
    """

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        mpp: float,
        *,
        name: str,
        path: Path | None,
        mpp_source: str,
        sha256: str,
    ) -> None:
        self.name = name
        self.path = path
        self.shape: tuple[int, int] = (rgb.shape[0], rgb.shape[1])
        self.mpp = mpp
        self.mpp_source = mpp_source
        self.sha256 = sha256
        self._pixels = rgb
        self._level: tuple[float, NDArray[np.uint8]] = (mpp, rgb)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"Slide({self.name!r}, {width} x {height} px, {self.mpp:g} um/px)"

    def shape_at(self, mpp: float) -> tuple[int, int]:
        """Return (H, W) of the whole image at ``mpp`` um/px, px.

        Raises
        ------
        InputError
            If that is nothing, or more than ``MAX_PIXELS``.
        """
        scale = self.mpp / mpp
        height, width = round(self.shape[0] * scale), round(self.shape[1] * scale)
        if min(height, width) < 1 or height * width > MAX_PIXELS:
            raise InputError(
                f"{self.name} at {self.mpp:g} um/px becomes {width} x {height} px at {mpp:g} "
                f"um/px; expected 1 to {MAX_PIXELS:,} px; check its microns per pixel (--mpp)"
            )
        return height, width

    def read(
        self, y: float, x: float, height: float, width: float, mpp: float
    ) -> NDArray[np.uint8]:
        """Read a box given in full-resolution px.

        Parameters
        ----------
        y, x, height, width : float
            Corner and size of the box, full-resolution px; may reach outside the image.
        mpp : float
            um/px of the result.

        Returns
        -------
        ndarray
            (round(height * s), round(width * s), 3) uint8 with s = self.mpp / mpp; white outside.
            Its corner lies at pixel (round(y * s), round(x * s)) of the grid at ``mpp``.
        """
        scale = self.mpp / mpp
        return self.read_at(
            round(y * scale), round(x * scale), round(height * scale), round(width * scale), mpp
        )

    def read_at(self, y: int, x: int, height: int, width: int, mpp: float) -> NDArray[np.uint8]:
        """Read a box given in px of the grid at ``mpp``: what a region of the plan asks for.

        Returns
        -------
        ndarray
            (height, width, 3) uint8; white outside the image; writable, not shared.
        """
        level = self._level_at(mpp)
        box = np.full((height, width, 3), WHITE, np.uint8)
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + height, level.shape[0]), min(x + width, level.shape[1])
        if top < bottom and left < right:
            box[top - y : bottom - y, left - x : right - x] = level[top:bottom, left:right]
        return box

    def _level_at(self, mpp: float) -> NDArray[np.uint8]:
        if mpp == self.mpp:
            return self._pixels
        kept, level = self._level
        if kept != mpp:
            level = _resampled(self._pixels, self.mpp / mpp, self.shape_at(mpp))
            self._level = (mpp, level)
        return level


def _resampled(rgb: NDArray[np.uint8], scale: float, shape: tuple[int, int]) -> NDArray[np.uint8]:
    # fx and fy, not a target size: OpenCV would stretch the grid to fit the rounded size, and
    # nuclei would drift by up to half a pixel towards the far edge.
    how = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    level = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=how))
    return level[: shape[0], : shape[1]]


def open_slide(path: str | Path, mpp: float | None = None) -> Slide:
    """Open an image file as a slide; what it is, its first bytes say, not its suffix.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG or TIFF file.
    mpp : float, optional
        Microns per pixel; wins over the file's metadata.

    Raises
    ------
    InputError
        If the file is missing, a folder, unreadable, not an image, damaged, a stack, too small
        or too large.
    ResolutionError
        If ``mpp`` is out of range, or not given and not in the file.
    """
    path = Path(path)
    given = None if mpp is None else checked_mpp(mpp)
    digest = _digest(path)
    decoded = _decode(path)
    if given is not None:
        value, source = given, "--mpp"
    elif decoded.scale is not None:
        value, source = decoded.scale.mpp, decoded.scale.source
    else:
        raise ResolutionError(
            f"{path.name} does not tell its microns per pixel; expected them in its metadata or "
            "from you; add for example --mpp 0.25 (40x) or --mpp 0.5 (20x)"
        )
    return Slide(decoded.rgb, value, name=path.stem, path=path, mpp_source=source, sha256=digest)


def from_array(rgb: NDArray[Any], mpp: float | None, name: str = "array") -> Slide:
    """Make a slide of an array at ``mpp`` um/px: (H, W) or (H, W, C), as ``as_rgb`` takes it.

    Raises
    ------
    InputError
        If the array is no image, too small or too large.
    ResolutionError
        If ``mpp`` is missing or out of range: an array cannot tell its own.
    """
    if mpp is None:
        raise ResolutionError(
            "an array does not tell its microns per pixel; expected them from you; add for "
            "example mpp=0.25 (40x) or mpp=0.5 (20x)"
        )
    value = checked_mpp(mpp, "mpp")
    samples = np.asarray(rgb)
    if samples.ndim >= 2:
        check_extent(samples.shape[0], samples.shape[1], name)
    pixels = as_rgb(samples, name)
    # The caller may go on writing into the array; the slide must not change under its digest.
    pixels = pixels.copy() if np.shares_memory(pixels, samples) else pixels
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return Slide(pixels, value, name=name, path=None, mpp_source="array", sha256=digest.hexdigest())


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """List the image files that ``paths`` name: files as they are, folders by their suffixes.

    Folders are not searched below; hidden files are passed over; no file comes twice.

    Returns
    -------
    list of Path
        In the order of ``paths``, sorted by name within a folder.

    Raises
    ------
    InputError
        If a path does not exist, or a folder holds no image.
    """
    images: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            _check_exists(path)
            images.append(path)
            continue
        try:
            inside = sorted(path.iterdir())
        except OSError as fault:
            raise _unreadable(path, fault) from fault
        found = [
            file
            for file in inside
            if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "." and file.is_file()
        ]
        if not found:
            raise InputError(
                f"folder {path} holds no image; expected files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}; name another folder or a file"
            )
        images.extend(found)
    return list(dict.fromkeys(images))


def _decode(path: Path) -> Decoded:
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(TIFF_SIGNATURES):
        return decode_tiff(path)
    if start == PNG_SIGNATURE:
        return decode_png(path.read_bytes(), path.name)
    if start.startswith(JPEG_SIGNATURE):
        return decode_jpeg(path.read_bytes(), path.name)
    raise InputError(
        f"{path.name} is {'not an image that is known here' if start else 'empty'}; expected a "
        "PNG, JPEG or TIFF file; convert it to one of these"
    )


def _digest(path: Path) -> str:
    _check_exists(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected an image file; name a file inside it")
    if not path.is_file():
        raise InputError(f"{path} is no regular file; expected an image file; name another")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _check_exists(path: Path) -> None:
    try:
        path.stat()
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _unreadable(path: Path, fault: OSError) -> InputError:
    if isinstance(fault, FileNotFoundError):
        return InputError(f"{path} does not exist; expected an image or a folder; check the path")
    return InputError(
        f"{path} cannot be read ({fault.strerror or fault}); expected a readable file or folder; "
        "check its permissions"
    )

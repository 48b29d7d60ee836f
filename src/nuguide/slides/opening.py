"""Opening whatever lies at a path: its content says which reader it needs."""

from pathlib import Path

from nuguide.errors import InputError
from nuguide.slides.decoded import Decoded
from nuguide.slides.digest import Digest, digest_of
from nuguide.slides.finding import check_exists, files_of, first_dicom, is_zarr, unreadable
from nuguide.slides.levels import ArrayLevels, Stored
from nuguide.slides.openslide_levels import open_vendor, vendor_of
from nuguide.slides.picture import JPEG_SIGNATURE, PNG_SIGNATURE, decode_jpeg, decode_png
from nuguide.slides.tiff import TIFF_SIGNATURES
from nuguide.slides.tiff_checks import check_tiles_of
from nuguide.slides.tiff_levels import open_tiff


def open_stored(path: Path) -> Stored:
    """Open an image file or folder.

    Raises
    ------
    InputError
        If it is no image known here, or damaged.
    """
    check_is_image(path)
    if is_zarr(path):
        from nuguide.slides.zarr_levels import open_zarr

        return open_zarr(path)
    file = first_dicom(path) or path if path.is_dir() else path
    vendor = vendor_of(file)
    try:
        with file.open("rb") as opened:
            start = opened.read(8)
        if vendor is not None:
            if start.startswith(TIFF_SIGNATURES):
                check_tiles_of(file)
            return open_vendor(file, vendor)
        if start.startswith(TIFF_SIGNATURES):
            return open_tiff(file)
        if start == PNG_SIGNATURE:
            return _in_memory(decode_png(file.read_bytes(), file.name), "PNG")
        if start.startswith(JPEG_SIGNATURE):
            return _in_memory(decode_jpeg(file.read_bytes(), file.name), "JPEG")
    except OSError as fault:
        raise unreadable(file, fault) from fault
    raise InputError(
        f"{path.name} is {'not an image that is known here' if start else 'empty'}; expected a "
        "PNG, JPEG or TIFF file, OME-Zarr, or a slide that OpenSlide reads (SVS, NDPI, MRXS, SCN, "
        "BIF, DICOM); convert it to one of these"
    )


def digest_of_slide(path: Path) -> Digest:
    """Digest the file, or the files, of a slide.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    check_is_image(path)
    root = path if path.is_dir() else path.parent
    try:
        return digest_of(files_of(path), root)
    except OSError as fault:
        raise unreadable(path, fault) from fault


def check_is_image(path: Path) -> None:
    """Refuse what cannot be an image: nothing, a folder of other things, a device.

    Raises
    ------
    InputError
        With the reason.
    """
    check_exists(path)
    if path.is_dir():
        if not is_zarr(path) and first_dicom(path) is None:
            raise InputError(
                f"{path} is a folder; expected an image file, OME-Zarr, or the folder of a DICOM "
                "slide; name a file inside it"
            )
    elif not path.is_file():
        raise InputError(f"{path} is no regular file; expected an image file; name another")


def _in_memory(decoded: Decoded, kind: str) -> Stored:
    scales = () if decoded.scale is None else (decoded.scale,)
    return Stored(ArrayLevels(decoded.rgb), scales, kind)

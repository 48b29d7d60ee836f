"""Which paths are images, and which files belong to each."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nuguide.errors import InputError

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".dcm"),
)
"""What is taken out of a folder; a file named by itself may have any suffix."""

ZARR_METADATA = ("zarr.json", ".zattrs")


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """List the images that ``paths`` name: files as they are, folders by what lies in them.

    A folder that is an image itself (OME-Zarr, DICOM files of one slide) is one image. Other
    folders are not searched below, save for OME-Zarr; hidden files are passed over; no file
    comes twice, by whatever paths or links: the first stays.

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
        check_exists(path)
        if not path.is_dir() or is_zarr(path):
            images.append(path)
            continue
        try:
            found = sorted(filter(_is_image, path.iterdir()))
        except OSError as fault:
            raise unreadable(path, fault) from fault
        if not found:
            raise InputError(
                f"folder {path} holds no image; expected files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}, or OME-Zarr; name another folder or a file"
            )
        # The files of a DICOM slide lie side by side; each of them opens the whole.
        slices = [file for file in found if file.suffix.lower() == ".dcm"]
        images.extend(file for file in found if file not in slices)
        images.extend([path] if slices else [])
    first: dict[Path, Path] = {}
    for image in images:
        first.setdefault(image.resolve(), image)
    return list(first.values())


def _is_image(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return is_zarr(path) or (path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def is_zarr(path: Path) -> bool:
    """Tell whether a path is a folder of zarr."""
    return path.is_dir() and any((path / name).is_file() for name in ZARR_METADATA)


def own_folder(path: Path) -> Path | None:
    """Return the folder that is an image's alone, of OME-Zarr and MRXS; None of others."""
    if path.suffix.lower() == ".mrxs":
        return path.with_suffix("")
    return path if is_zarr(path) else None


def first_dicom(folder: Path) -> Path | None:
    """Return a file of the DICOM slide in ``folder``, or None."""
    return min(folder.glob("*.dcm"), default=None)


def files_of(path: Path) -> list[Path]:
    """List the files that make up an image, sorted by name.

    MRXS has a folder of the same name beside it, DICOM slides are several files of a folder, and
    OME-Zarr is a folder.
    """
    wanted: Iterable[Path]
    if path.is_dir():
        wanted = path.rglob("*") if is_zarr(path) else path.glob("*.dcm")
    elif path.suffix.lower() == ".dcm":
        wanted = path.parent.glob("*.dcm")
    elif path.suffix.lower() == ".mrxs":
        wanted = _with_companions(path)
    else:
        return [path]
    return sorted(file for file in wanted if file.is_file())


def _with_companions(path: Path) -> Iterator[Path]:
    yield path
    yield from path.with_suffix("").glob("*")


def check_exists(path: Path) -> None:
    """Refuse a path that leads nowhere.

    Raises
    ------
    InputError
        If there is nothing, or it may not be looked at.
    """
    try:
        path.stat()
    except OSError as fault:
        raise unreadable(path, fault) from fault


def unreadable(path: Path, fault: OSError) -> InputError:
    """Word why a path cannot be read."""
    if isinstance(fault, FileNotFoundError):
        return InputError(f"{path} does not exist; expected an image or a folder; check the path")
    return InputError(
        f"{path} cannot be read ({fault.strerror or fault}); expected a readable file or folder; "
        "check its permissions"
    )

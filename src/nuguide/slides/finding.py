"""Which paths are images, and which files belong to each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from nuguide.errors import InputError

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".dcm"),
)
"""What is taken out of a folder; a file named by itself may have any suffix."""

ZARR_METADATA = ("zarr.json", ".zattrs")

_OF_FILE_MANAGERS = (".ds_store", "thumbs.db", "desktop.ini")
"""What looking at a folder leaves in it; so are macOS' companions ``._*`` on foreign disks."""


def find_images(
    paths: Sequence[str | Path],
    *,
    below: bool = False,
    passed_over: Callable[[Path], bool] = lambda folder: False,
) -> list[Path]:
    """List the images that ``paths`` name: files as they are, folders by what lies in them.

    A folder that is an image itself (OME-Zarr, DICOM files of one slide) is one image. Hidden files
    are passed over; no file comes twice, by whatever paths or links: the first stays.

    Parameters
    ----------
    paths : sequence of path
        Files and folders.
    below : bool
        Whether the folders in folders are searched too.
    passed_over : callable
        Tells of such a folder that it is not to be searched.

    Returns
    -------
    list of Path
        In the order of ``paths``, sorted by name within a folder, and what lies in a folder before
        what lies in those below it.

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
        folders = _with_those_below(path, passed_over) if below else [path]
        found = [image for folder in folders for image in _images_in(folder)]
        if not found:
            where = " nor does one below it" if below else "; --recursive searches those below it"
            raise InputError(
                f"folder {path} holds no image{where}; expected files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}, or OME-Zarr; name another folder or a file"
            )
        images += found
    first: dict[Path, Path] = {}
    for image in images:
        first.setdefault(image.resolve(), image)
    return list(first.values())


def _with_those_below(top: Path, passed_over: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a folder and those below it that are no images, nor parts of some."""
    seen: set[Path] = set()  # a link may lead back up
    left = [top]
    while left:
        folder = left.pop()
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        yield folder
        inside = [each for each in _listed(folder) if each.is_dir() and each.name[0] != "."]
        left += [
            each
            for each in reversed(inside)
            if not (is_zarr(each) or each.with_name(f"{each.name}.mrxs").exists())
            and not passed_over(each)
        ]


def _images_in(folder: Path) -> list[Path]:
    found = list(filter(_is_image, _listed(folder)))
    # The files of a DICOM slide lie side by side; each of them opens the whole.
    slices = [file for file in found if file.suffix.lower() == ".dcm"]
    return [file for file in found if file not in slices] + ([folder] if slices else [])


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as fault:
        raise unreadable(folder, fault) from fault


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
    return min(_dicoms(folder), default=None)


def _dicoms(folder: Path) -> Iterator[Path]:
    return (
        path for path in folder.glob("*") if path.suffix.lower() == ".dcm" and not _is_foreign(path)
    )


def _is_foreign(path: Path) -> bool:
    """Tell whether a file lies beside or in an image without being a part of it."""
    return path.name.lower() in _OF_FILE_MANAGERS or path.name.startswith("._")


def files_of(path: Path) -> list[Path]:
    """List the files that make up an image, sorted by name.

    MRXS has a folder of the same name beside it, DICOM slides are several files of a folder, and
    OME-Zarr is a folder. What a file manager left there is not among them: an image stays the same
    when somebody looks at its folder.
    """
    wanted: Iterable[Path]
    if path.is_dir():
        wanted = path.rglob("*") if is_zarr(path) else _dicoms(path)
    elif path.suffix.lower() == ".dcm":
        wanted = _dicoms(path.parent)
    elif path.suffix.lower() == ".mrxs":
        wanted = _with_companions(path)
    else:
        return [path]
    return sorted(file for file in wanted if file.is_file() and not _is_foreign(file))


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

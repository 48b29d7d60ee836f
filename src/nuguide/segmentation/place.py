"""Where a run may be written: not over an image, and not among the images."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nuguide.errors import OutputError
from nuguide.segmentation.ledger import FRAGMENTS_FOLDER, LEDGER_FILE
from nuguide.segmentation.outputs import KNOWN_FILES
from nuguide.segmentation.record import RUN_FILE
from nuguide.slides.finding import own_folder

_WRITTEN = (*KNOWN_FILES, RUN_FILE, LEDGER_FILE, FRAGMENTS_FOLDER)
"""Whatever a run may replace or remove in its folder."""


def check_place(images: Iterable[Path], folders: Iterable[Path]) -> None:
    """Refuse folders in which a run would spoil an image, or be taken for one later.

    Files are told apart as the system does it, so that no link and no other spelling of a path
    hides an image.

    Parameters
    ----------
    images : iterable of Path
        What is segmented.
    folders : iterable of Path
        Where runs are to be written; need not exist.

    Raises
    ------
    OutputError
        If one of ``folders`` is an image or lies in one, if an image lies in it, whose pictures
        the next run would take for images, or if what a run replaces there is or holds an image.
    """
    itself: dict[object, Path] = {}
    inside: dict[object, Path] = {}
    beside: dict[object, Path] = {}
    above: dict[object, Path] = {}
    known = cache(_identity)  # many images lie in one folder
    for image in images:
        itself[known(image)] = image
        inside[known(own_folder(image))] = image
        for path in (image.absolute(), image.resolve()):
            beside[known(path.parent)] = image
            above |= {known(folder): image for folder in path.parents}
    for found in (itself, inside, beside, above):
        found.pop(None, None)
    held = itself | above
    for folder in folders:
        if (here := known(folder)) in itself:
            raise _refused(f"{folder} is the image itself")
        for upper in (folder, *folder.resolve().parents):
            if whose := inside.get(known(upper)):
                raise _refused(f"{folder} lies in the image {whose}")
        if here in beside:
            raise _refused(f"{folder} is the folder of the images")
        for path in (folder / name for name in _WRITTEN):
            if lost := held.get(known(path)):
                raise _refused(f"{path} would be replaced, where the image {lost} lies")


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what is one for all names of a file; None if there is no such file."""
    try:
        stat = path.stat() if path is not None else None
    except OSError:
        return None
    return None if stat is None else (stat.st_dev, stat.st_ino)


def _refused(what: str) -> OutputError:
    return OutputError(
        f"{what}; expected another place for what is made of images; name a folder of its own"
    )

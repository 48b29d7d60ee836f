"""Where a run may be written: not over an image or among the images, and one run at a time."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from nuguide.errors import OutputError
from nuguide.files import unwritable
from nuguide.segmentation.ledger import FRAGMENTS_FOLDER, LEDGER_FILE, Ledger, is_run
from nuguide.segmentation.outputs import KNOWN_FILES, remove_others
from nuguide.segmentation.record import RUN_FILE, Configuration
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


def claim(
    folder: Path, configuration: Configuration, files: Sequence[str], *, overwrite: bool
) -> Ledger:
    """Take a folder for a run: from here on it does not look whole, until all is written.

    Nothing is removed before the ledger is open, which keeps others out.

    Parameters
    ----------
    folder : Path
        The run folder.
    configuration : dict
        Everything that decides the result.
    files : sequence of str
        Those that the run will write.
    overwrite : bool
        Whether what another run did or wrote there goes.

    Returns
    -------
    Ledger
        To be closed and removed at the end.

    Raises
    ------
    OutputError
        If another run writes there, or what lies there cannot be removed.
    """
    # Files of those names in a folder without a run are somebody's own.
    replaced = overwrite and is_run(folder)
    ledger = Ledger(folder, configuration, anew=overwrite)
    try:
        (folder / RUN_FILE).unlink(missing_ok=True)
        if replaced:
            remove_others(folder, files)
    except BaseException as fault:
        ledger.close()
        if isinstance(fault, OSError):
            raise unwritable(folder / RUN_FILE, fault) from fault
        raise
    return ledger


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

"""Files that are either whole or not there: written aside, then renamed."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nuguide.errors import OutputError

ADVICE = "name another place"

CACHE = "NUGUIDE_CACHE"
"""Environment variable that names another place for the user's cache."""


@contextmanager
def replacing(path: Path, advice: str = ADVICE) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; when the block ends well it becomes ``path``.

    Whatever ends the block otherwise, an interrupt too, leaves ``path`` as it was and nothing
    beside it. Each writer has a name of its own aside, so several may write the same file.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    advice : str
        What to do if it cannot be written, for the error message.

    Raises
    ------
    OutputError
        If the place cannot be written: no permission, no folder, disk full.
    """
    aside = _beside(path)
    try:
        yield aside
        os.replace(aside, path)  # noqa: PTH105 - the one call known to be atomic on every system
    except OSError as fault:
        raise unwritable(path, fault, advice) from fault
    finally:
        # After a rename, or where it could not be made, there is nothing to remove.
        with suppress(OSError):
            aside.unlink()


@contextmanager
def replacing_folder(path: Path, advice: str = ADVICE) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to fill; when the block ends well it becomes ``path``.

    As ``replacing``; a folder that was there is moved out of the way first, because no system
    replaces a full folder in one step. It goes once the new one is in its place; whatever comes
    between brings it back, and where even that cannot be done it stays beside ``path``.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    aside, former = _beside(path), _beside(path)
    try:
        aside.mkdir()
        yield aside
        if path.exists():
            path.rename(former)
        aside.rename(path)
    except OSError as fault:
        raise unwritable(path, fault, advice) from fault
    finally:
        if former.exists() and not path.exists():
            with suppress(OSError):
                former.rename(path)
        if path.exists():
            shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")


def make_folder(folder: Path, advice: str = ADVICE) -> None:
    """Make ``folder`` and those above it, unless they are there.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise unwritable(folder, fault, advice) from fault


@contextmanager
def held(lock: Path, advice: str = ADVICE, timeout_s: float = -1.0) -> Iterator[None]:
    """Hold a file against other processes that hold it; it is given back however this one dies.

    Parameters
    ----------
    lock : Path
        In a folder that exists; made if absent.
    advice : str
        What to do if it cannot be written, for the error message.
    timeout_s : float
        How long to wait for another process, s; below 0 as long as it takes.

    Raises
    ------
    filelock.Timeout
        If another process holds it all that time.
    OutputError
        If it cannot be written.
    """
    from filelock import FileLock, Timeout  # not there on a lent GPU machine, nor needed

    file = FileLock(lock, timeout=timeout_s)
    try:
        file.acquire()
    except Timeout:
        raise  # an OSError, too
    except OSError as fault:
        raise unwritable(lock, fault, advice) from fault
    try:
        yield
    finally:
        file.release()


def unwritable(path: Path, fault: Exception, advice: str = ADVICE) -> OutputError:
    """Word why a place cannot be written."""
    reason = getattr(fault, "strerror", None) or fault
    return OutputError(
        f"{path} cannot be written ({reason}); expected a folder with permission to write and "
        f"space left; {advice}"
    )


def cache_folder(part: str) -> Path:
    """Return a folder of the user's cache: in ``$NUGUIDE_CACHE``, else where the system has it."""
    from platformdirs import user_cache_path  # not there on a lent GPU machine, nor needed

    place = os.environ.get(CACHE)
    return (Path(place) if place else user_cache_path("nuguide")) / part


def keep(file: Path, content: bytes) -> None:
    """Put a file in the user's cache, if it can be: else the next command makes it anew."""
    with suppress(OutputError):
        make_folder(file.parent)
        with replacing(file) as aside:
            aside.write_bytes(content)

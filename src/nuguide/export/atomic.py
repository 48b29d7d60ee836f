"""Files that are either whole or not there: written aside, then renamed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nuguide.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; when the block ends well it becomes ``path``.

    Whatever ends the block otherwise, an interrupt too, leaves ``path`` as it was and nothing
    beside it.

    Raises
    ------
    OutputError
        If the place cannot be written: no permission, no folder, disk full.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield aside
        os.replace(aside, path)  # noqa: PTH105 - the one call known to be atomic on every system
    except OSError as fault:
        raise OutputError(
            f"{path} cannot be written ({fault.strerror or fault}); expected a folder with "
            "permission to write and space left; give another place with -o"
        ) from fault
    finally:
        # After a rename, or where it could not be made, there is nothing to remove.
        with suppress(OSError):
            aside.unlink()

"""The digest by which a slide is known again, however many files and gigabytes it has."""

import bisect
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WHOLE_BYTES = 256 << 20
"""Up to here every byte is read."""

SAMPLES = 64
"""Pieces that are read of anything larger."""

SAMPLE_BYTES = 1 << 20
"""Length of a piece."""


@dataclass(frozen=True)
class Digest:
    """A SHA-256 and what it was taken of.

    Attributes
    ----------
    sha256 : str
        Hexadecimal.
    of : str
        In words, for the record of a run.
    """

    sha256: str
    of: str


def digest_of(files: Sequence[Path], root: Path) -> Digest:
    """Digest the files that make up a slide.

    Parameters
    ----------
    files : sequence of Path
        In an order that does not change.
    root : Path
        Folder from which they are named: moving a slide does not change its digest.

    Returns
    -------
    Digest
        Of a single file up to ``WHOLE_BYTES``: of its bytes, what ``sha256sum`` prints. Of
        anything else: of the names and sizes of the files, and of their bytes one after the other
        - all of them up to ``WHOLE_BYTES``, beyond that ``SAMPLES`` evenly spaced pieces of
        ``SAMPLE_BYTES``, the first and the last among them.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    sizes = [file.stat().st_size for file in files]
    total = sum(sizes)
    if len(files) == 1 and total <= WHOLE_BYTES:
        with files[0].open("rb") as whole:
            return Digest(hashlib.file_digest(whole, "sha256").hexdigest(), "the file's bytes")
    digest = hashlib.sha256()
    for file, size in zip(files, sizes, strict=True):
        digest.update(f"{file.relative_to(root).as_posix()}\0{size}\n".encode())
    if total <= WHOLE_BYTES:
        for file in files:
            digest.update(file.read_bytes())
        return Digest(digest.hexdigest(), f"names, sizes and bytes of {len(files)} files")
    ends = list(itertools.accumulate(sizes))
    for sample in range(SAMPLES):
        start = (total - SAMPLE_BYTES) * sample // (SAMPLES - 1)
        digest.update(_read(files, ends, start, SAMPLE_BYTES))
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    return Digest(
        digest.hexdigest(),
        f"name and size of {count} and {SAMPLES} evenly spaced MiB of {total:,} bytes",
    )


def _read(files: Sequence[Path], ends: Sequence[int], start: int, length: int) -> bytes:
    """Read bytes of the files one after the other, as if they were one."""
    pieces = []
    index = bisect.bisect_right(ends, start)
    while length and index < len(files):
        first = ends[index - 1] if index else 0
        with files[index].open("rb") as file:
            file.seek(start - first)
            piece = file.read(length)
        pieces.append(piece)
        length -= len(piece)
        index += 1
        start = ends[index - 1]
    return b"".join(pieces)

"""What is checked of a TIFF before its pixels are believed: tables, places, sizes."""

import logging
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, PngImagePlugin

from nuguide.errors import InputError
from nuguide.safe_xml import DocumentTypeError, ParseError, parse_text

DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    SyntaxError,
    struct.error,
    ParseError,
)
"""What tifffile, Pillow and the codecs under them raise on damaged files."""

_JPEG = JpegImagePlugin.JpegImageFile
_JPEG_2000 = Jpeg2KImagePlugin.Jpeg2KImageFile
_HEADERS: dict[int, Callable[[BytesIO], ImageFile.ImageFile]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _JPEG),
    **dict.fromkeys((33003, 33004, 33005, 34712), _JPEG_2000),
    34933: PngImagePlugin.PngImageFile,
}
"""Compressions whose segments tell a size of their own, which their decoders obey."""


def damaged(name: str, fault: BaseException) -> InputError:
    """Word that a TIFF cannot be decoded."""
    reason = " ".join(str(fault).split()) or type(fault).__name__
    return InputError(
        f"{name} cannot be decoded ({reason}); expected a whole TIFF file; copy or export it again"
    )


def check_markup(tiff: tifffile.TiffFile) -> None:
    """Refuse a description whose XML has a document type, before tifffile expands its entities.

    Most descriptions are no XML at all; that is for others to judge.

    Raises
    ------
    DocumentTypeError
        One of ``DAMAGE``.
    """
    try:
        parse_text(tiff.pages.first.description)
    except DocumentTypeError:
        raise
    except ParseError:
        return


def check_segments(page: Any, name: str) -> None:
    """Refuse a page that lists fewer strips or tiles than it must have, or such beyond its file.

    A decoder would fill those missing with one colour; and a forged tile of one pixel a side would
    keep it busy for minutes.

    Raises
    ------
    InputError
        With both numbers.
    """
    expected = math.prod(page.chunked)
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    # Strips of raw samples that follow each other are listed as one.
    if listed < expected and not (listed == 1 and page.is_contiguous):
        raise InputError(
            f"{name} lists {listed} of its {expected} strips or tiles; expected a whole TIFF "
            "file; copy or export it again"
        )
    size = page.parent.filehandle.size
    # Through float: hostile offsets may be any 64-bit number, and their sum overflows.
    ends = np.asarray(page.dataoffsets[:listed], np.float64) + np.asarray(
        page.databytecounts[:listed], np.float64
    )
    beyond = int((ends > size).sum())
    if beyond:
        raise InputError(
            f"{name} ends after {size:,} bytes, before {beyond} of its {expected} strips or tiles; "
            "expected a whole TIFF file; copy or export it again"
        )


def check_coded_size(data: bytes, page: Any) -> None:
    """Refuse a strip or tile that would unpack to far more than its place.

    Raises
    ------
    ValueError
        With both sizes.
    """
    header = _HEADERS.get(int(page.compression))
    if header is None:
        return  # the other decoders are given the size they may fill
    width, height = header(BytesIO(data)).size
    rows, columns = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    if width * height > 4 * rows * columns + (1 << 16):
        raise ValueError(f"a segment of {columns} x {rows} px claims to be {width} x {height} px")


def check_coded_sizes(page: Any) -> None:
    """Check all segments of a page that is to be decoded whole.

    Raises
    ------
    ValueError
        As ``check_coded_size``.
    """
    if int(page.compression) not in _HEADERS:
        return
    handle = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset and count:
            handle.seek(offset)
            check_coded_size(handle.read(count), page)


def check_tiles_of(path: Path) -> None:
    """Check the tables of a vendor's TIFF, which OpenSlide believes: it shows white for the rest.

    Raises
    ------
    InputError
        As ``check_segments``.
    """
    try:
        with quiet(), tifffile.TiffFile(path, _multifile=False) as tiff:
            check_markup(tiff)
            for page in tiff.pages:
                if page.keyframe.is_tiled:
                    check_segments(page, path.name)
    except DAMAGE as fault:
        raise damaged(path.name, fault) from fault


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the decoder's remarks on odd tags from the terminal: one line an error is enough."""
    logger = logging.getLogger("tifffile")

    def refuse(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(refuse)
    try:
        yield
    finally:
        logger.removeFilter(refuse)

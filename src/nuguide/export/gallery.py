"""Many runs on one page: a picture of each, and what was found in it."""

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from nuguide.export.page import page_templates, write_page

MOST_PICTURES = 1000
"""With more of them a page takes a browser's memory; the rest of the images has numbers alone."""

_PICTURE_PX = (320, 180)
"""Width and height that a picture fits into."""

_JPEG_QUALITY = 80

Progress = Callable[[Sequence["Entry"]], Iterable["Entry"]]
"""Hands out what it is given, and may tell somebody how far that is."""


@dataclass(frozen=True)
class Entry:
    """An image of a page.

    Attributes
    ----------
    name : str
        Of the image.
    values : mapping of str to str
        What is told of it, by its heading; a heading it lacks stays empty.
    picture : Path, optional
        A picture of it; shrunk, and kept inside the page.
    report : Path, optional
        Its own page, in a folder beside this one.
    error : str
        Why there is nothing to tell.
    """

    name: str
    values: Mapping[str, str]
    picture: Path | None = None
    report: Path | None = None
    error: str = ""


def write_gallery(
    entries: Sequence[Entry],
    facts: Mapping[str, str],
    path: Path,
    progress: Progress = iter,
    headings: Sequence[str] = (),
) -> None:
    """Write a page of many images.

    Parameters
    ----------
    entries : sequence of Entry
        The images, in the order of the page.
    facts : mapping of str to str
        What is told of all together: a number by its caption.
    path : Path
        Ends in ``.html``.
    progress : callable
        See ``Progress``; is given the entries that have a picture to be read.
    headings : sequence of str
        In which order they stand, as far as they occur; others follow as they come.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    with_picture = [entry for entry in entries if entry.picture is not None]
    shown = with_picture[:MOST_PICTURES]
    pictures = {id(entry): _shrunk(entry.picture) for entry in progress(shown) if entry.picture}
    occurring = dict.fromkeys(heading for entry in entries for heading in entry.values)
    first = [heading for heading in headings if heading in occurring]
    text = (
        page_templates("nuguide.export")
        .get_template("gallery.html")
        .render(
            facts=facts,
            headings=list(dict.fromkeys((*first, *occurring))),
            rows=[
                (entry, _link(entry.report, path.parent), pictures.get(id(entry)))
                for entry in entries
            ],
            most_pictures=MOST_PICTURES if len(with_picture) > MOST_PICTURES else None,
        )
    )
    write_page(text, path)


def _link(report: Path | None, folder: Path) -> str:
    """Return how a page in a folder names another one below it; empty if there is none."""
    return "" if report is None else quote(os.fsencode(report.relative_to(folder).as_posix()))


def _shrunk(picture: Path) -> bytes | None:
    """Return a picture as a small JPEG; None where it is damaged, which its own page will tell."""
    try:
        with Image.open(picture) as opened:
            rgb = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    rgb.thumbnail(_PICTURE_PX, Image.Resampling.BOX, reducing_gap=2.0)
    stream = io.BytesIO()
    rgb.save(stream, "jpeg", quality=_JPEG_QUALITY)
    return stream.getvalue()

"""The report of a run: one HTML page with what was found, how, and on what terms."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from nuguide.colours import POSITIVITY_COLOURS, colours_of
from nuguide.export.distribution import MEASUREMENTS, Distribution
from nuguide.export.page import page_templates, write_page
from nuguide.nuclei.staining import second_stain_of

MEASURED = (*(measurement.column for measurement in MEASUREMENTS), "type")
"""The columns of a nucleus table that a report reads."""

_PICTURE_SIDE_PX = 1600
_JPEG_QUALITY = 85


def write_report(
    record: Mapping[str, Any],
    pieces: Iterable[pa.Table],
    pictures: Sequence[tuple[str, Path]],
    path: Path,
    *,
    area_mm2: float,
    types: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> None:
    """Write the page of a run.

    Parameters
    ----------
    record : mapping
        What stands in ``run.toml``: tables ``configuration``, ``found``, ``licences`` and
        ``versions``. The page shows all of it.
    pieces : iterable of pyarrow.Table
        The nuclei, by ``nuguide.nuclei.schema.SCHEMA``, its columns ``MEASURED`` at least; never
        held all at once.
    pictures : sequence of (str, Path)
        A line on each picture, and its file; shrunk to 1600 px and kept inside the page.
    path : Path
        Ends in ``.html``.
    area_mm2 : float
        Area of tissue that was searched, mm2.
    types : sequence of str
        Those that the model tells apart, in its order; how many there are of each is told.
    warnings : sequence of str
        What a reader has to know before trusting the numbers.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    nuclei, counts = 0, Counter[str]()
    distributions = [Distribution(measurement) for measurement in MEASUREMENTS]
    for piece in pieces:
        nuclei += piece.num_rows
        if types:
            counts.update(piece["type"].drop_null().to_pylist())
        for distribution in distributions:
            distribution.add(piece)
    text = (
        page_templates("nuguide.export")
        .get_template("report.html")
        .render(
            name=_name(record["configuration"]["image"]),
            record=record,
            sections={title: _lines(table) for title, table in record.items()},
            nuclei=nuclei,
            area_mm2=area_mm2,
            types=[(name, colour, counts[name]) for name, colour in colours_of(types).items()],
            second_stain=second_stain_of(record["configuration"]),
            thresholds=record["configuration"].get("positive", []),
            positivity=record["found"].get("positivity"),
            positivity_colours=POSITIVITY_COLOURS,
            distributions=[each for each in distributions if each.total],
            pictures=[(line, _shrunk(picture)) for line, picture in pictures],
            warnings=warnings,
        )
    )
    write_page(text, path)


def _name(image: str) -> str:
    """Return the file's name, whichever system the path is of; an array has its name."""
    return image.replace("\\", "/").rsplit("/", 1)[-1] or image


def _lines(table: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a table of the record as lines to read, inner tables with dots."""
    lines: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines |= _lines(value, f"{before}{key}.")
        else:
            several = isinstance(value, list | tuple)
            lines[before + key] = ", ".join(map(str, value)) if several else str(value)
    return lines


def _shrunk(picture: Path) -> bytes:
    """Return a picture of the run folder as JPEG."""
    with Image.open(picture) as opened:
        rgb = np.asarray(opened.convert("RGB"))
    scale = _PICTURE_SIDE_PX / max(rgb.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
        # Means over areas: in half the time that Pillow's filters take.
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "jpeg", quality=_JPEG_QUALITY, subsampling=0)
    return stream.getvalue()

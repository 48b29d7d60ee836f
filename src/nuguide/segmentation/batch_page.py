"""The page over the images in a folder, made of their table and of each one's pictures."""

import math
from pathlib import Path

from nuguide.export.gallery import Entry, Progress, write_gallery
from nuguide.segmentation.batch_summary import (
    COLUMNS,
    PAGE_FILE,
    SUMMARY_FILE,
    Row,
    folder_name,
    read_summary,
)
from nuguide.segmentation.outputs import OVERLAY_FILE, OVERVIEW_FILE, REPORT_FILE

_TITLES = {
    "nuclei": ("nuclei", "{:,.0f}"),
    "area_mm2": ("searched, mm²", "{:.3g}"),
    "nuclei_per_mm2": ("nuclei per mm²", "{:,.0f}"),
    "median_area_um2": ("median area, µm²", "{:.1f}"),
    "match_probability": ("expected to be true", "{:.0%}"),
    "positive_percent": ("positive, %", "{:.1f}"),
    "h_score": ("H-score", "{:.0f}"),
    "mpp_um_per_px": ("µm/px", "{:.4g}"),
}
"""Heading and form of the columns that are shown, in their order."""


def write_batch_page(out: Path, progress: Progress = iter) -> None:
    """Write the page over the images whose runs lie side by side in a folder.

    Parameters
    ----------
    out : Path
        Holds the table that ``write_summary`` wrote.
    progress : callable
        See ``nuguide.export.gallery.Progress``.

    Raises
    ------
    OutputError
        If the page cannot be written.
    """
    rows = read_summary(out / SUMMARY_FILE)
    done = [row for row in rows if row["folder"]]
    nuclei, area = (
        sum(filter(math.isfinite, (_number(row[name]) for row in done)))
        for name in ("nuclei", "area_mm2")
    )
    facts = {
        "images" if len(done) != 1 else "image": f"{len(done):,}",
        **({"failed": f"{len(rows) - len(done):,}"} if len(rows) > len(done) else {}),
        "nuclei": f"{nuclei:,.0f}",
        "mm² searched": f"{area:.3g}",
    }
    headings = [heading for heading, _ in _TITLES.values()]
    write_gallery([_entry(row, out) for row in rows], facts, out / PAGE_FILE, progress, headings)


def _entry(row: Row, out: Path) -> Entry:
    name = Path(row["image"]).name
    if not row["folder"]:
        return Entry(name, {}, error=row["error"])
    folder = out / folder_name(row)
    pictures = [folder / file for file in (OVERLAY_FILE, OVERVIEW_FILE)]
    return Entry(
        name,
        _values(row),
        picture=next((path for path in pictures if path.is_file()), None),
        report=folder / REPORT_FILE if (folder / REPORT_FILE).is_file() else None,
    )


def _values(row: Row) -> dict[str, str]:
    """Word the numbers of a row that are there, by their headings."""
    types = {
        name: (name.removeprefix("nuclei_"), "{:,.0f}")
        for name in row
        if name.startswith("nuclei_") and name not in COLUMNS
    }
    titles = _TITLES | types
    found = {name: _number(row[name]) for name in titles if name in row}
    return {
        titles[name][0]: titles[name][1].format(number)
        for name, number in found.items()
        if math.isfinite(number)
    }


def _number(text: str) -> float:
    """Read a number of the table; NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan

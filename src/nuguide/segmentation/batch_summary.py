"""One table over the images in a folder: what was found in each, a row each."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuguide.errors import NuguideError
from nuguide.files import replacing, unwritable
from nuguide.segmentation.batch import Ended
from nuguide.segmentation.ledger import is_run
from nuguide.segmentation.result import Run

SUMMARY_FILE = "summary.csv"
PAGE_FILE = "summary.html"
"""Made of the table, see ``nuguide.segmentation.batch_page``; never older than it."""

COLUMNS = (
    "image",
    "folder",
    "nuclei",
    "area_mm2",
    "nuclei_per_mm2",
    "median_area_um2",
    "mpp_um_per_px",
    "mpp_source",
    "seconds",
    "error",
)
"""Before ``error`` there are also ``match_probability``, the mean one, where a model is calibrated;
``nuclei_<type>`` for each type that a model tells apart; and, where positive nuclei were asked for,
``positive_percent``, ``h_score`` and ``positive_percent_<type>``."""

_WORDS = ("image", "folder", "mpp_source", "error")
"""Columns of no numbers."""

_DECIMAL = re.compile(r"^(-?\d+),(\d+)$")

Row = dict[str, str]
"""What the table says of an image, by column."""


def write_summary(ended: Sequence[Ended], path: Path) -> None:
    """Write a table of images, in the order of their paths.

    Rows of other images, whose folders are still there, are kept of a table that is there already.
    A page that was made of that one is removed.

    Parameters
    ----------
    ended : sequence of Ended
        How each image ended; of one that failed there is its error alone.
    path : Path
        Ends in ``.csv``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    rows = [_row(each) for each in ended]
    rows = sorted([*_others(path, rows), *rows], key=lambda row: str(row["image"]))
    types = sorted({name for row in rows for name in row if name not in COLUMNS})
    with (
        replacing(path) as aside,
        # A lone surrogate out of a file's name has no form in UTF-8.
        aside.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        table = csv.DictWriter(file, [*COLUMNS[:-1], *types, COLUMNS[-1]], restval="")
        table.writeheader()
        table.writerows(rows)
    page = path.with_name(PAGE_FILE)
    try:
        page.unlink(missing_ok=True)
    except OSError as fault:
        raise unwritable(page, fault) from fault


def read_summary(path: Path) -> list[Row]:
    """Read a table that ``write_summary`` wrote, less the runs that lie beside it no more.

    A spreadsheet may have saved it since. Empty if it cannot be read or is somebody's own.
    """
    rows = _read(path) or []
    return [row for row in rows if not row["folder"] or is_run(path.parent / folder_name(row))]


def in_the_way(out: Path) -> Path | None:
    """Return the file that would be replaced though it is none of nuguide's; None if none would."""
    table, page = out / SUMMARY_FILE, out / PAGE_FILE
    if not table.exists():
        return page if page.exists() else None
    return table if _read(table) is None else None


def _read(path: Path) -> list[Row] | None:
    """Read a table with whatever sign between columns; None if it cannot be or is another."""
    try:
        lines = io.StringIO(_decoded(path.read_bytes()), newline="")
        delimiter = max(",;\t", key=lines.readline().count)
        lines.seek(0)
        table = csv.DictReader(lines, restkey="", restval="", delimiter=delimiter)
        names = table.fieldnames or ()
        if not {*COLUMNS} <= {*names}:
            return None
        rows = [{name: row[name] for name in names} for row in table]
    except (OSError, csv.Error):
        return None
    if delimiter == ",":
        return rows
    # Where something else divides columns, a comma may divide numbers.
    return [
        {
            name: text if name in _WORDS else _DECIMAL.sub(r"\1.\2", text)
            for name, text in row.items()
        }
        for row in rows
    ]


def _decoded(content: bytes) -> str:
    """Decode a text as it was written, or as a spreadsheet on Windows writes it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def folder_name(row: Mapping[str, Any]) -> str:
    """Return the name of an image's own folder, which lies beside the table wherever that is."""
    name = Path(row.get("folder", "")).name
    return "" if name == ".." else name


def folders_in(out: Path) -> dict[Path, str]:
    """Return the images whose runs lie side by side in a folder, and the name of each one's own.

    Empty if the folder holds no table that ``write_summary`` wrote.
    """
    rows = read_summary(out / SUMMARY_FILE)
    return {Path(row["image"]).resolve(): folder_name(row) for row in rows if row["folder"]}


def _others(path: Path, rows: Sequence[dict[str, Any]]) -> list[Row]:
    """Read the rows of images that are not among ``rows``; of failures, too."""
    images = {Path(row["image"]).resolve() for row in rows}
    folders = {folder_name(row) for row in rows if "folder" in row}
    return [
        row
        for row in read_summary(path)
        if Path(row["image"]).resolve() not in images and folder_name(row) not in folders
    ]


def _row(ended: Ended) -> dict[str, Any]:
    if isinstance(ended.outcome, NuguideError):
        return {"image": ended.image, "error": " ".join(str(ended.outcome).splitlines())}
    run = ended.outcome
    return {
        "image": ended.image,
        "folder": run.folder,
        "nuclei": run.count,
        **_density(run),
        "median_area_um2": run.median_area_um2 if run.count else "",
        "mpp_um_per_px": run.mpp,
        "mpp_source": run.mpp_source,
        "seconds": run.seconds,
        **({} if run.match_probability is None else {"match_probability": run.match_probability}),
        **{f"nuclei_{name}": count for name, count in run.types.items()},
        **_positivity(run),
    }


def _positivity(run: Run) -> dict[str, float]:
    if run.labelling is None:
        return {}
    scores = {
        "positive_percent": run.labelling.positive_percent,
        "h_score": run.labelling.h_score,
        **{
            f"positive_percent_{name}": labelling.positive_percent
            for name, labelling in run.labelling_of_types.items()
        },
    }
    return {name: round(score, 2) for name, score in scores.items() if score is not None}


def _density(run: Run) -> dict[str, float]:
    if not run.area_mm2:  # no tissue, or a run of before its area was written down
        return {}
    return {"area_mm2": run.area_mm2, "nuclei_per_mm2": round(run.count / run.area_mm2, 2)}

"""One table over the images in a folder: what was found in each, a row each."""

import csv
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
"""Before ``error`` there are also ``nuclei_<type>`` for each type that a model tells apart; and,
where positive nuclei were asked for, ``positive_percent``, ``h_score`` and
``positive_percent_<type>``."""

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

    Empty if it cannot be read or is somebody's own.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, restkey="", restval="")
            if not {*COLUMNS} <= {*(table.fieldnames or ())}:
                return []
            rows = [{name: row[name] for name in table.fieldnames or ()} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [row for row in rows if not row["folder"] or is_run(path.parent / folder_name(row))]


def folder_name(row: Mapping[str, Any]) -> str:
    """Return the name of an image's own folder, which lies beside the table wherever that is."""
    return Path(row.get("folder", "")).name.removeprefix("..")


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

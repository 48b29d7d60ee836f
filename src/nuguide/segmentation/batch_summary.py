"""One table over the images in a folder: what was found in each, a row each."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuguide.errors import NuguideError
from nuguide.files import replacing
from nuguide.segmentation.batch import Ended
from nuguide.segmentation.ledger import is_run
from nuguide.segmentation.result import Run

SUMMARY_FILE = "summary.csv"

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
"""Before ``error`` there are also ``nuclei_<type>`` for each type that occurs; and, where positive
nuclei were asked for, ``positive_percent``, ``h_score`` and ``positive_percent_<type>``."""


def write_summary(ended: Sequence[Ended], path: Path) -> None:
    """Write a table of images, in the order of their paths.

    Rows of other images, whose folders are still there, are kept of a table that is there already.

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


def folders_in(out: Path) -> dict[Path, str]:
    """Return the images whose runs lie side by side in a folder, and the name of each one's own.

    Empty if the folder holds no table that ``write_summary`` wrote.
    """
    rows = _read(out / SUMMARY_FILE)
    return {Path(row["image"]).resolve(): _name(row) for row in rows if row["folder"]}


def _others(path: Path, rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Read the rows of images that are not among ``rows``; of failures, too."""
    images = {Path(row["image"]).resolve() for row in rows}
    folders = {_name(row) for row in rows if "folder" in row}
    return [
        row
        for row in _read(path)
        if Path(row["image"]).resolve() not in images and _name(row) not in folders
    ]


def _read(path: Path) -> list[dict[str, str]]:
    """Read a table, less what lies there no more; empty if it is somebody's own."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file, restkey="", restval="")
            if not {*COLUMNS} <= {*(table.fieldnames or ())}:
                return []
            rows = [{name: row[name] for name in table.fieldnames or ()} for row in table]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [row for row in rows if not row["folder"] or is_run(path.parent / _name(row))]


def _name(row: dict[str, Any]) -> str:
    """Return the name of an image's own folder, which lies beside the table wherever that is."""
    return Path(row.get("folder", "")).name.removeprefix("..")


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

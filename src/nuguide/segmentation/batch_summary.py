"""One table over the images of a command: what was found in each, a row each."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuguide.errors import NuguideError
from nuguide.files import replacing
from nuguide.segmentation.batch import Ended
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
    rows = [_row(each) for each in sorted(ended, key=lambda each: str(each.image))]
    types = sorted({name for row in rows for name in row if name not in COLUMNS})
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*COLUMNS[:-1], *types, COLUMNS[-1]], restval="")
        table.writeheader()
        table.writerows(rows)


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

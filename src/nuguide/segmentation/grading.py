"""Other thresholds for the nuclei of a finished run: graded anew, with nothing measured again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from nuguide.errors import OutputError
from nuguide.export.table import write_table
from nuguide.nuclei.positivity import positivity_of
from nuguide.segmentation.outputs import (
    CSV_FILE,
    GEOJSON_FILE,
    NUCLEI_FILE,
    OVERLAY_FILE,
    OVERVIEW_FILE,
    REPORT_FILE,
    read_pieces,
)
from nuguide.segmentation.record import (
    RUN_FILE,
    Configuration,
    differences,
    read_record,
    write_record,
)

GRADED = (NUCLEI_FILE, GEOJSON_FILE, CSV_FILE, OVERLAY_FILE, OVERVIEW_FILE, REPORT_FILE)
"""The files that tell which nuclei are positive."""

_KEY = "positive"
_UNDER_WAY = "being changed"
"""In place of the thresholds of a run whose files may be of two minds."""


def differs_in_thresholds(folder: Path, configuration: Configuration) -> bool:
    """Tell whether a folder holds the finished run that is asked for, but for the thresholds."""
    if not (folder / RUN_FILE).is_file():
        return False
    try:
        there = read_record(folder)["configuration"]
    except OutputError:
        return False  # that is told where runs are compared
    if there.get(_KEY) == configuration.get(_KEY):
        return False
    return not differences(without_thresholds(there), without_thresholds(configuration))


def without_thresholds(configuration: Configuration) -> Configuration:
    """Return what decides everything of a run but which nuclei are positive."""
    return {key: value for key, value in configuration.items() if key != _KEY}


def grade_table(folder: Path, thresholds: Sequence[float]) -> None:
    """Grade the nuclei of a finished run anew, by thresholds of the second stain's density.

    From here until its record is written again, the run's record tells of no thresholds that
    anybody can ask for: whatever ends this, the same command does it once more.

    Parameters
    ----------
    folder : Path
        Of the run, whose table is whole.
    thresholds : sequence of float
        See ``nuguide.nuclei.positivity.positivity_of``; empty: none is graded.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    record = read_record(folder)
    record["configuration"][_KEY] = _UNDER_WAY
    write_record(folder, record)
    write_table(_graded(folder, thresholds), folder / NUCLEI_FILE)


def graded_record(
    record: dict[str, Any], configuration: Configuration, found: dict[str, Any]
) -> dict[str, Any]:
    """Return the record of a run whose nuclei were graded anew.

    Parameters
    ----------
    record : dict
        What it was before.
    configuration : dict
        What was asked for.
    found : dict
        What there is now, see ``nuguide.segmentation.summary``.
    """
    kept = {key: value for key, value in record["found"].items() if key != "positivity"}
    thresholds = {_KEY: configuration[_KEY]} if _KEY in configuration else {}
    return record | {
        "configuration": without_thresholds(record["configuration"]) | thresholds,
        "found": kept | found,
    }


def _graded(folder: Path, thresholds: Sequence[float]) -> Iterator[pa.Table]:
    place = None
    for nuclei in read_pieces(folder):
        if place is None:
            place = nuclei.schema.get_field_index("positivity")
        od = nuclei["second_stain_od_mean"].to_numpy()
        grades = pa.array(positivity_of(od, thresholds), pa.string()) if thresholds else None
        if grades is None:
            grades = pa.nulls(nuclei.num_rows, pa.string())
        yield nuclei.set_column(place, nuclei.schema.field(place), grades)

"""Tables that come with data sets: CSV in UTF-8."""

import csv
from collections.abc import Collection
from pathlib import Path

from nuguide.errors import DataSetError

MAX_BYTES = 50_000_000
_MAX_HEADER = 10_000


def header_of(path: Path) -> list[str]:
    """Return the column names of a CSV file; none if it is missing or no text."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        line = file.readline(_MAX_HEADER)
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def read_index(path: Path, required: Collection[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV file.

    Parameters
    ----------
    path : Path
        The file.
    required : collection of str
        Columns that every row must have.

    Raises
    ------
    DataSetError
        If it is missing, too large or no table, or a row lacks a column.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataSetError(
                f"{path} has {path.stat().st_size:,} bytes; expected a table of at most "
                f"{MAX_BYTES:,}; take the data set again"
            )
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataSetError(
            f"{path} is no table ({error}); expected CSV in UTF-8; take the data set again"
        ) from error
    for number, row in enumerate(rows, start=2):
        missing = sorted(column for column in required if row.get(column) is None)
        if missing:
            raise DataSetError(
                f"{path}, line {number}, has no {missing[0]}; expected the columns "
                f"{', '.join(sorted(required))}; take the data set again"
            )
    return rows

"""The measurements as CSV: for spreadsheets, R, or anything that reads text."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow.csv import CSVWriter

from nuguide.files import replacing
from nuguide.nuclei.schema import SCHEMA

COLUMNS = [name for name in SCHEMA.names if name != "geometry"]
"""What is written: all but the outlines, which are a thousand characters each."""


def write_csv(pieces: Iterable[pa.Table], path: Path) -> None:
    """Write the nuclei without their outlines as CSV, one row each, names in the first line.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        The nuclei in order, by ``nuguide.nuclei.schema.SCHEMA``; never held all at once.
    path : Path
        Ends in ``.csv``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    schema = pa.schema([SCHEMA.field(name) for name in COLUMNS])
    with (
        replacing(path) as aside,
        aside.open("wb") as file,
        CSVWriter(file, schema) as writer,
    ):
        for nuclei in pieces:
            writer.write_table(nuclei.select(COLUMNS))

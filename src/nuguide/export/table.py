"""The nucleus table as GeoParquet: for geopandas, DuckDB, QGIS, or any reader of Parquet."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.export.pieces import regrouped
from nuguide.files import replacing
from nuguide.nuclei.polygons import Polygons
from nuguide.nuclei.schema import SCHEMA, with_later_columns

GEOPARQUET_VERSION = "1.1.0"
ROWS_PER_GROUP = 8_192
"""Rows of a row group: what a writer, or a reader that streams, holds at a time."""

Bounds = NDArray[np.float64]


def write_table(pieces: Iterable[pa.Table], path: Path) -> None:
    """Write nuclei as one file of GeoParquet 1.1, compressed with zstd.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        The nuclei in order, by ``nuguide.nuclei.schema.SCHEMA``; never held all at once.
    path : Path
        Ends in ``.parquet``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    The reference system is null: coordinates are px of an image, not places on the Earth. The
    bounds of all outlines are known at the end, where Parquet keeps its metadata anyway.
    """
    bounds = np.full(4, np.nan)
    with (
        replacing(path) as aside,
        # Opened here, as are all tables: Arrow takes "run:1/a.parquet" for an address.
        aside.open("wb") as file,
        pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            write_page_checksum=True,
            # Ids and outlines do not repeat, and nobody looks them up by the smallest and largest.
            use_dictionary=["type", "positivity", "region"],
            write_statistics=[c for c in SCHEMA.names if c not in ("id", "geometry")],
        ) as writer,
    ):
        for nuclei in regrouped(pieces, ROWS_PER_GROUP):
            writer.write_table(nuclei)
            bounds = _around(bounds, Polygons.from_wkb(nuclei["geometry"]).points)
        writer.add_key_value_metadata({"geo": json.dumps(_geo(bounds))})


def _around(bounds: Bounds, points: NDArray[np.float64]) -> Bounds:
    """Return what bounds points, (V, 2), too, (x, y, x, y); NaN bounds nothing."""
    low, high = np.fmin(bounds[:2], points.min(axis=0)), np.fmax(bounds[2:], points.max(axis=0))
    return np.concatenate([low, high])


def read_table(path: Path) -> pa.Table:
    """Read nuclei that ``write_table`` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds another table.
    """
    try:
        with path.open("rb") as file:
            nuclei = pq.read_table(file)
    except (OSError, pa.ArrowException) as fault:
        reason = " ".join(str(fault).split())
        raise InputError(
            f"{path} cannot be read ({reason}); expected a nucleus table (.parquet); "
            "run nuguide segment to make one"
        ) from fault
    nuclei = with_later_columns(nuclei)
    if wrong := _foreign(nuclei.schema):
        raise InputError(
            f"{path} {wrong}; expected the columns of a nucleus table; "
            "run nuguide segment to make one"
        )
    return nuclei.replace_schema_metadata(None).cast(SCHEMA)


def fault_of(path: Path, rows: int, *, thoroughly: bool) -> str:
    """Say what is wrong with a table of so many nuclei that was written; empty if nothing is.

    The number of rows stands at a Parquet file's end, so one that was cut short is found without
    reading it. Thoroughly, its columns are looked at, and every page against its checksum.
    """
    if not path.exists():
        return "is missing"
    try:
        with path.open("rb") as opened:
            file = pq.ParquetFile(opened, page_checksum_verification=True)
            if file.metadata.num_rows != rows:
                return f"holds {file.metadata.num_rows:,} nuclei where {rows:,} were found"
            if not thoroughly:
                return ""
            for group in range(file.num_row_groups):
                file.read_row_group(group)
            return _foreign(with_later_columns(file.schema_arrow.empty_table()).schema)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as fault:
        return f"cannot be read ({' '.join(str(fault).split())})"


def _foreign(schema: pa.Schema) -> str:
    """Say in what a table's columns differ from those of nuclei; empty if they do not."""
    if schema.equals(SCHEMA, check_metadata=False):
        return ""
    missing = [name for name in SCHEMA.names if name not in schema.names]
    return f"lacks {', '.join(missing)}" if missing else "has other columns or kinds"


def _geo(bounds: Bounds) -> dict[str, object]:
    column: dict[str, object] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None,
        "orientation": "counterclockwise",
        "edges": "planar",
    }
    if np.isfinite(bounds).all():
        column["bbox"] = bounds.tolist()
    return {
        "version": GEOPARQUET_VERSION,
        "primary_column": "geometry",
        "columns": {"geometry": column},
    }

"""The nucleus table as GeoParquet: for geopandas, DuckDB, QGIS, or any reader of Parquet."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from nuguide.errors import InputError
from nuguide.files import replacing
from nuguide.nuclei.schema import SCHEMA

GEOPARQUET_VERSION = "1.1.0"


def write_table(nuclei: pa.Table, path: Path) -> None:
    """Write nuclei as GeoParquet 1.1, compressed with zstd.

    Parameters
    ----------
    nuclei : pyarrow.Table
        By ``nuguide.nuclei.schema.SCHEMA``.
    path : Path
        Ends in ``.parquet``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    The reference system is null: coordinates are px of an image, not places on the Earth.
    """
    metadata = {**(nuclei.schema.metadata or {}), b"geo": json.dumps(_geo(nuclei)).encode()}
    with replacing(path) as aside:
        pq.write_table(nuclei.replace_schema_metadata(metadata), aside, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """Read nuclei that ``write_table`` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds another table.
    """
    try:
        nuclei = pq.read_table(path)
    except (OSError, pa.ArrowException) as fault:
        reason = " ".join(str(fault).split())
        raise InputError(
            f"{path} cannot be read ({reason}); expected a nucleus table (.parquet); "
            "run nuguide segment to make one"
        ) from fault
    if not nuclei.schema.equals(SCHEMA, check_metadata=False):
        missing = [name for name in SCHEMA.names if name not in nuclei.schema.names]
        wrong = f"lacks {', '.join(missing)}" if missing else "has other columns or kinds"
        raise InputError(
            f"{path} {wrong}; expected the columns of a nucleus table; "
            "run nuguide segment to make one"
        )
    return nuclei.replace_schema_metadata(None).cast(SCHEMA)


def _geo(nuclei: pa.Table) -> dict[str, object]:
    column: dict[str, object] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": None,
        "orientation": "counterclockwise",
        "edges": "planar",
    }
    if nuclei.num_rows:
        outlines = shapely.from_wkb(nuclei["geometry"].to_numpy())
        column["bbox"] = shapely.total_bounds(outlines).tolist()
    return {
        "version": GEOPARQUET_VERSION,
        "primary_column": "geometry",
        "columns": {"geometry": column},
    }

"""Nuclei for QuPath: a gzipped GeoJSON of detections, dropped on the viewer as it is."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from nuguide.files import replacing

MEASUREMENTS = {
    "area_um2": "Area µm^2",
    "perimeter_um": "Perimeter µm",
    "major_axis_um": "Major axis µm",
    "minor_axis_um": "Minor axis µm",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "hematoxylin_od_mean": "Hematoxylin OD mean",
    "confidence": "Confidence",
    "centroid_x_um": "Centroid X µm",
    "centroid_y_um": "Centroid Y µm",
}
"""Column of the nucleus table -> name of the measurement, units in it as QuPath writes them."""

UNTYPED = "Nucleus"
_UNTYPED_COLOUR = (0, 200, 0)
_TYPE_COLOURS = (
    (220, 50, 47),
    (38, 139, 210),
    (181, 137, 0),
    (211, 54, 130),
    (42, 161, 152),
    (203, 75, 22),
    (108, 113, 196),
    (133, 153, 0),
)
_COORDINATE_DECIMALS = 2
_MEASUREMENT_DECIMALS = 4
_ROWS_AT_ONCE = 4096


def write_geojson(nuclei: pa.Table, path: Path, mpp: float) -> None:
    """Write nuclei as a gzipped GeoJSON FeatureCollection of QuPath detections.

    Parameters
    ----------
    nuclei : pyarrow.Table
        By ``nuguide.nuclei.schema.SCHEMA``.
    path : Path
        Ends in ``.geojson.gz``.
    mpp : float
        um/px of the full-resolution px in which the coordinates are; written as the member
        ``mpp`` of the collection, for readers other than QuPath.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    Coordinates are full-resolution px (x right, y down), 0.01 px, in closed rings. Rows are
    streamed. Equal nuclei give equal bytes.
    """
    with (
        replacing(path) as aside,
        aside.open("wb") as raw,
        # No name and no time in the header: they would differ between equal runs.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(f'{{"type":"FeatureCollection","mpp":{mpp!r},"features":['.encode())
        between = b"\n"
        for batch in nuclei.to_batches(max_chunksize=_ROWS_AT_ONCE):
            for feature in _features(batch):
                packed.write(between + _dumped(feature))
                between = b",\n"
        packed.write(b"\n]}\n")


def _dumped(feature: dict[str, Any]) -> bytes:
    return json.dumps(feature, separators=(",", ":"), allow_nan=False).encode("ascii")


def _features(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    columns = batch.to_pydict()
    outlines = shapely.from_wkb(columns["geometry"])
    points, ring = shapely.get_coordinates(outlines, return_index=True)
    starts = np.flatnonzero(np.diff(ring, prepend=-1))[1:]
    rings = np.split(np.round(points, _COORDINATE_DECIMALS), starts)
    for row, outline in enumerate(rings[: batch.num_rows]):
        yield {
            "type": "Feature",
            "id": columns["id"][row],
            "geometry": {"type": "Polygon", "coordinates": [outline.tolist()]},
            "properties": {
                "objectType": "detection",
                "classification": _classification(columns["type"][row]),
                "measurements": {
                    name: round(columns[column][row], _MEASUREMENT_DECIMALS)
                    for column, name in MEASUREMENTS.items()
                },
            },
        }


def _classification(kind: str | None) -> dict[str, Any]:
    if kind is None:
        return {"name": UNTYPED, "color": list(_UNTYPED_COLOUR)}
    # By the name itself, so that a type keeps its colour from image to image.
    colour = _TYPE_COLOURS[zlib.crc32(kind.encode()) % len(_TYPE_COLOURS)]
    return {"name": kind, "color": list(colour)}

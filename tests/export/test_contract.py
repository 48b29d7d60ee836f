"""What every export of nuclei keeps: their number and order, ids, places, names and units."""

import csv
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely.geometry import shape

from nuguide.export.csv import write_csv
from nuguide.export.geojson import measurement_names, write_geojson
from nuguide.export.table import write_table
from nuguide.nuclei.schema import SCHEMA, empty_nuclei

MPP = 0.25
NUMBERS = [
    field.name for field in SCHEMA if field.type == pa.float64() and not field.name.endswith("_px")
]
MEASUREMENTS = measurement_names("Eosin")
UNIT_WORDS = {b"um": "µm", b"um2": "µm^2", b"1": "", b"optical density": "OD"}


@dataclass(frozen=True)
class Written:
    """What a reader of another make finds in a file."""

    ids: list[str]
    numbers: dict[str, list[float]]
    outlines: list[shapely.Polygon] | None


def from_parquet(path: Path) -> Written:
    table = pq.read_table(path)
    return Written(
        table["id"].to_pylist(),
        {name: table[name].to_pylist() for name in NUMBERS},
        list(shapely.from_wkb(table["geometry"].to_numpy())),
    )


def from_csv(path: Path) -> Written:
    with path.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    return Written(
        [row["id"] for row in rows],
        {name: [float(row[name]) for row in rows] for name in NUMBERS},
        None,
    )


def from_geojson(path: Path) -> Written:
    features = json.loads(gzip.decompress(path.read_bytes()))["features"]
    found = [feature["properties"]["measurements"] for feature in features]
    return Written(
        [feature["id"] for feature in features],
        {name: [each[MEASUREMENTS[name]] for each in found] for name in NUMBERS},
        [shape(feature["geometry"]) for feature in features],
    )


Write = Callable[[Iterable[pa.Table], Path], None]
EXPORTS: dict[str, tuple[Write, Callable[[Path], Written]]] = {
    "nuclei.parquet": (write_table, from_parquet),
    "nuclei.csv": (write_csv, from_csv),
    "nuclei.geojson.gz": (lambda pieces, path: write_geojson(pieces, path, MPP), from_geojson),
}


@pytest.fixture(params=EXPORTS)
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Written]:
    write, read = EXPORTS[request.param]

    def written(*pieces: pa.Table) -> Written:
        write(iter(pieces), tmp_path / request.param)
        return read(tmp_path / request.param)

    return written


def test_all_nuclei_in_order(export: Callable[..., Written], nuclei: pa.Table) -> None:
    written = export(nuclei.slice(0, 1), empty_nuclei(), nuclei.slice(1))
    assert written.ids == nuclei["id"].to_pylist()


def test_the_same_measurements(export: Callable[..., Written], nuclei: pa.Table) -> None:
    written = export(nuclei)
    for name in NUMBERS:
        assert written.numbers[name] == pytest.approx(nuclei[name].to_pylist(), abs=5e-5), name


def test_the_same_places(export: Callable[..., Written], nuclei: pa.Table) -> None:
    written = export(nuclei)
    centres_px = np.stack([nuclei["centroid_x_px"], nuclei["centroid_y_px"]], axis=1)
    centres_um = np.stack([written.numbers[f"centroid_{axis}_um"] for axis in "xy"], axis=1)
    assert centres_um == pytest.approx(centres_px * MPP, abs=5e-5)
    if written.outlines is not None:
        centroids = shapely.get_coordinates(shapely.centroid(written.outlines))
        assert centroids == pytest.approx(centres_px, abs=0.01)
        areas = shapely.area(written.outlines) * MPP**2
        assert areas == pytest.approx(nuclei["area_um2"].to_numpy(), rel=2e-3)


def test_no_nuclei_are_valid(export: Callable[..., Written]) -> None:
    for pieces in ((), (empty_nuclei(),)):
        written = export(*pieces)
        assert written.ids == []
        assert not any(written.numbers.values())


def test_every_measurement_has_its_name_and_unit_for_qupath() -> None:
    assert set(MEASUREMENTS) == set(NUMBERS)
    for column, name in MEASUREMENTS.items():
        unit = UNIT_WORDS[SCHEMA.field(column).metadata[b"unit"]]
        assert unit in name, name
        assert "µm" in unit or "µm" not in name, name

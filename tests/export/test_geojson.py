import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely
from shapely.geometry import shape

from nuguide.colours import POSITIVITY_COLOURS, TYPE_COLOURS
from nuguide.errors import OutputError
from nuguide.export import geojson
from nuguide.export.geojson import write_geojson
from nuguide.nuclei.schema import SCHEMA, empty_nuclei


def read(path: Path) -> dict[str, Any]:
    return json.loads(gzip.decompress(path.read_bytes()))


def test_features_are_qupath_detections(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei], path, 0.25)
    collection = read(path)
    assert collection["type"] == "FeatureCollection"
    assert collection["mpp"] == 0.25
    assert len(collection["features"]) == 3
    for feature, row in zip(collection["features"], nuclei.to_pylist(), strict=True):
        assert feature["type"] == "Feature"
        assert str(uuid.UUID(feature["id"])) == feature["id"] == row["id"]
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        assert properties["classification"]["name"] == "Nucleus"
        assert all(0 <= part <= 255 for part in properties["classification"]["color"])
        assert len(properties["classification"]["color"]) == 3
        assert "isLocked" not in properties


def test_measurements_carry_names_units_and_values(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei], path, 0.25)
    first = read(path)["features"][0]["properties"]["measurements"]
    assert first["Area µm^2"] == pytest.approx(140 / 16)
    assert first["Confidence"] == pytest.approx(0.9, abs=1e-4)
    assert first["Eosin OD mean"] == round(nuclei["second_stain_od_mean"][0].as_py(), 4) > 0.1
    assert all(isinstance(value, int | float) for value in first.values())
    # Every number of the table that is not a place in px is there.
    numbers = [c.name for c in SCHEMA if c.type == pa.float64() and not c.name.endswith("px")]
    assert len(first) == len(numbers)


def test_the_second_stain_has_its_own_name(tmp_path: Path, nuclei: pa.Table) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei], path, 0.25, second_stain='a "{b}"')
    for feature in read(path)["features"]:
        names = feature["properties"]["measurements"].keys()
        assert [name for name in names if name.endswith(" OD mean")] == [
            "Hematoxylin OD mean",
            'a "{b}" OD mean',
        ]


def test_rings_are_closed_rounded_and_in_full_resolution_px(
    tmp_path: Path, nuclei: pa.Table
) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei], path, 0.25)
    outlines = shapely.from_wkb(nuclei["geometry"].to_numpy())
    for feature, outline in zip(read(path)["features"], outlines, strict=True):
        assert feature["geometry"]["type"] == "Polygon"
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert all(round(value, 2) == value for point in ring for value in point)
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.exterior.is_ccw
        assert polygon.symmetric_difference(outline).area < 0.5
    assert shape(read(path)["features"][1]["geometry"]).bounds == pytest.approx(
        (50, 20, 60, 32), abs=0.05
    )


def test_types_keep_their_name_and_colour(tmp_path: Path, nuclei: pa.Table) -> None:
    kinds = pa.array(["tumour", None, "tumour"], pa.string())
    typed = nuclei.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), kinds)
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([typed], path, 0.25, ["stroma", "tumour"])
    classes = [feature["properties"]["classification"] for feature in read(path)["features"]]
    assert [kind["name"] for kind in classes] == ["tumour", "Nucleus", "tumour"]
    assert [tuple(kind["color"]) for kind in classes[::2]] == [TYPE_COLOURS[1]] * 2
    assert tuple(classes[1]["color"]) not in TYPE_COLOURS


def test_positivity_is_qupaths_class(tmp_path: Path, graded: pa.Table) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([graded], path, 0.25)
    classes = [feature["properties"]["classification"] for feature in read(path)["features"]]
    assert [each["name"] for each in classes] == ["3+", "Negative", "1+"]
    assert [tuple(each["color"]) for each in classes] == [
        POSITIVITY_COLOURS[each["name"]] for each in classes
    ]


def test_positivity_stands_below_the_type(tmp_path: Path, graded: pa.Table) -> None:
    kinds = pa.array(["tumour", None, "stroma"], pa.string())
    typed = graded.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), kinds)
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([typed], path, 0.25, ["stroma", "tumour"])
    classes = [feature["properties"]["classification"] for feature in read(path)["features"]]
    assert [each["name"] for each in classes] == ["tumour: 3+", "Negative", "stroma: 1+"]
    assert tuple(classes[0]["color"]) == POSITIVITY_COLOURS["3+"]


def test_many_pieces_make_one_collection(
    tmp_path: Path, nuclei: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geojson, "_ROWS_AT_ONCE", 5)
    once, piecewise = tmp_path / "once.geojson.gz", tmp_path / "piecewise.geojson.gz"
    write_geojson(iter([nuclei, empty_nuclei(), nuclei, nuclei]), piecewise, 0.25)
    write_geojson([pa.concat_tables([nuclei] * 3)], once, 0.25)
    assert once.read_bytes() == piecewise.read_bytes()
    features = read(once)["features"]
    assert [feature["id"] for feature in features] == nuclei["id"].to_pylist() * 3
    assert features[-1] == features[2]


def test_a_number_that_is_none_is_left_out(tmp_path: Path, nuclei: pa.Table) -> None:
    place = SCHEMA.get_field_index("solidity")
    odd = pa.array([float("nan"), float("inf"), 0.5])
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei.set_column(place, SCHEMA.field(place), odd)], path, 0.25)
    measurements = [f["properties"]["measurements"] for f in read(path)["features"]]
    assert [m.get("Solidity") for m in measurements] == [None, None, 0.5]
    assert all(len(m) >= 9 for m in measurements)


def test_a_measurement_that_is_not_there_is_left_out(tmp_path: Path, nuclei: pa.Table) -> None:
    place = SCHEMA.get_field_index("match_probability")
    known = pa.array([0.25, None, 0.75], pa.float64())
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([nuclei.set_column(place, SCHEMA.field(place), known)], path, 0.25)
    measurements = [f["properties"]["measurements"] for f in read(path)["features"]]
    assert [m.get("Match probability") for m in measurements] == [0.25, None, 0.75]
    assert "Match probability" not in measurements[1]


def test_a_type_of_any_characters_stays_one_name(tmp_path: Path, nuclei: pa.Table) -> None:
    hostile = pa.array(['"}],"x":[{"', "naïve\n", None], pa.string())
    typed = nuclei.set_column(SCHEMA.get_field_index("type"), SCHEMA.field("type"), hostile)
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([typed], path, 0.25)
    names = [f["properties"]["classification"]["name"] for f in read(path)["features"]]
    assert names == ['"}],"x":[{"', "naïve\n", "Nucleus"]


def test_equal_runs_give_equal_bytes(tmp_path: Path, nuclei: pa.Table) -> None:
    one, other = tmp_path / "one.geojson.gz", tmp_path / "other.geojson.gz"
    write_geojson([nuclei], one, 0.25)
    write_geojson([nuclei], other, 0.25)
    assert one.read_bytes() == other.read_bytes()
    # Bytes 4 to 8 of the header are the time.
    assert one.read_bytes()[4:8] == bytes(4)


def test_no_nuclei_are_a_valid_collection(tmp_path: Path) -> None:
    path = tmp_path / "nuclei.geojson.gz"
    write_geojson([empty_nuclei()], path, 0.5)
    assert read(path) == {"type": "FeatureCollection", "mpp": 0.5, "features": []}


def test_a_place_that_cannot_be_written(tmp_path: Path, nuclei: pa.Table) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_geojson([nuclei], tmp_path / "absent" / "nuclei.geojson.gz", 0.25)

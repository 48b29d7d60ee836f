import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from fixtures.annotated import tissue
from fixtures.replicas import feature, write_geojson, write_picture, write_qupath
from nuguide.datasets import qupath_geojson
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError, ResolutionError
from nuguide.nuclei.outlines import trace


def square(y: int, x: int, side: int) -> list[list[float]]:
    """Return the outline of whole pixels, in QuPath's coordinates."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


@pytest.fixture
def one(tmp_path: Path) -> Path:
    write_picture(tmp_path / "images" / "a.png", tissue(32).image)
    return tmp_path


def write(root: Path, *features: dict) -> None:
    write_geojson(root / "annotations" / "a.geojson", features)


def test_polygons_become_instances_with_classes(tmp_path: Path):
    truths = write_qupath(tmp_path)
    data = recognise(tmp_path, 0.25)
    assert (data.name, data.classes) == ("qupath", ("Stroma", "Tumor"))
    for sample in open_dataset(tmp_path, mpp=0.25):
        truth = truths[sample.name]
        np.testing.assert_array_equal(sample.labels, truth.labels)
        np.testing.assert_array_equal(sample.types, truth.types)
        assert sample.ignore is None


def test_whole_pixels_are_kept_to_the_pixel_and_holes_left_out(one: Path):
    write(one, feature([square(4, 6, 10), square(7, 9, 3)]))
    expected = np.zeros((32, 32), np.int32)
    expected[4:14, 6:16] = 1
    expected[7:10, 9:12] = 0
    sample = open_dataset(one, mpp=0.5)[0]
    np.testing.assert_array_equal(sample.labels, expected)
    assert sample.types is None


def test_what_nuguide_traces_is_read_back(one: Path):
    labels = tissue(32, nuclei=4).labels
    rings = [
        np.asarray(polygon.exterior.coords).tolist()
        for polygon in trace(labels).polygons.to_shapely()
    ]
    write(one, *(feature([ring]) for ring in rings))
    read = open_dataset(one, mpp=0.5)[0].labels
    assert (read != labels).mean() < 0.005


def test_ignored_areas_and_annotated_regions(one: Path):
    nucleus = feature([square(2, 2, 5)], "Tumor")
    write(one, nucleus, feature([square(2, 20, 6)], "Ignore*"))
    sample = open_dataset(one, mpp=0.5)[0]
    expected = np.zeros((32, 32), bool)
    expected[2:8, 20:26] = True
    np.testing.assert_array_equal(sample.ignore, expected)
    write(one, nucleus, feature([square(0, 0, 16)], "Region*"))
    sample = open_dataset(one, mpp=0.5)[0]
    expected = np.ones((32, 32), bool)
    expected[:16, :16] = False
    np.testing.assert_array_equal(sample.ignore, expected)
    assert sample.labels.max() == 1, "neither is a nucleus"
    assert recognise(one, 0.5).classes == ("Tumor",)


def test_cells_give_their_nuclei_and_several_pieces_are_one(one: Path):
    cell = feature([square(0, 0, 20)])
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": [square(5, 5, 4)]}
    pieces = feature([])
    pieces["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [[square(22, 2, 3)], [square(22, 9, 3)]],
    }
    point = feature([])
    point["geometry"] = {"type": "Point", "coordinates": [3, 3]}
    write(one, cell, point, pieces)
    labels = open_dataset(one, mpp=0.5)[0].labels
    assert [(labels == n).sum() for n in (1, 2)] == [16, 18]


@pytest.mark.parametrize("place", ["detections", "geojson", "images", "."])
def test_geojson_is_found_where_people_put_it(one: Path, place: str):
    write_geojson(one / place / "a.geojson", [feature([square(2, 2, 5)])])
    (one / "annotations").mkdir()
    assert open_dataset(one, mpp=0.5)[0].labels.max() == 1


def test_a_bare_array_is_read(one: Path):
    write(one)
    (one / "annotations" / "a.geojson").write_text(json.dumps([feature([square(2, 2, 5)])]))
    assert open_dataset(one, mpp=0.5)[0].labels.max() == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'[{"geometry": null}]',
        b'[{"geometry": {"type": "Polygon", "coordinates": [[["x", 1]]]}}]',
        b'[{"geometry": {"type": "Polygon", "coordinates": [[1, 2, 3]]}}]',
        b'[{"geometry": {"type": "MultiPolygon", "coordinates": 5}}]',
        b'[{"geometry": {"type": "Polygon", "coordinates": [[[1%s, 1], [2, 2], [3, 1]]]}}]'
        % (b"0" * 4000),
        b'[{"a": 1%s}]' % (b"0" * 5000),
    ],
)
def test_damaged_geojson_is_one_clear_line(one: Path, content: bytes):
    write(one)
    (one / "annotations" / "a.geojson").write_bytes(content)
    with pytest.raises(DataSetError, match=r"a\.geojson cannot be read") as error:
        list(open_dataset(one, mpp=0.5))
    assert "\n" not in str(error.value)


def test_an_object_at_the_end_of_the_world_has_no_pixel(one: Path):
    write(one)
    far = [[1e300, 1], [1e300, 9], [2e300, 5], [1e300, 1]]
    (one / "annotations" / "a.geojson").write_text(json.dumps([feature([far])]))
    assert open_dataset(one, mpp=0.5)[0].labels.max() == 0


def test_a_bomb_is_not_unpacked(one: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(qupath_geojson, "MAX_BYTES", 10_000)
    path = one / "annotations" / "a.geojson.gz"
    write_geojson(path, [])
    path.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(DataSetError, match="has more than 10,000 bytes"):
        open_dataset(one, mpp=0.5)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataSetError):
        open_dataset(one, mpp=0.5)


def test_pairs_and_scale_are_asked_for(tmp_path: Path):
    write_qupath(tmp_path)
    with pytest.raises(ResolutionError, match="--mpp"):
        open_dataset(tmp_path)
    (tmp_path / "annotations" / "a.geojson").unlink()
    with pytest.raises(DataSetError, match=r"a\.png has no annotation"):
        open_dataset(tmp_path, mpp=0.5)

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from nuguide.datasets.qupath_geojson import read_drawn
from nuguide.errors import OutputError
from nuguide.export.fields import write_fields


def test_areas_and_nuclei_are_annotations_that_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    ring = shapely.Polygon([(2, 2), (8, 2), (8, 8), (2, 8)], [[(4, 4), (4, 6), (6, 6), (6, 4)]])
    nuclei = [(shapely.box(1.004, 2, 3, 5), None), (ring, "round"), (shapely.box(0, 0, 1, 1), "x")]
    write_fields([shapely.box(0, 0, 10, 20)], nuclei, path, ("round", "long"))
    features = json.loads(path.read_text())["features"]
    assert {each["properties"]["objectType"] for each in features} == {"annotation"}
    assert [each["properties"]["classification"]["name"] for each in features] == [
        "Region*",
        "Nucleus",
        "round",
        "x",
    ]
    assert features[0]["properties"]["name"] == "field 1"
    assert len({each["id"] for each in features}) == 4
    assert features[1]["geometry"]["coordinates"][0][0] in ([3.0, 2.0], [1.0, 2.0])
    drawn = read_drawn(path)
    assert [each.kind for each in drawn] == ["Region*", "", "round", "x"]
    low, high = drawn[0].outline.bounds
    np.testing.assert_allclose([low, high], [[-0.5, -0.5], [9.5, 19.5]])
    assert len(drawn[2].outline.pieces[0]) == 2


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_fields([], [], tmp_path / "missing" / "a.geojson")

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.slides.reader import Slide, from_array
from nuguide.slides.roi import read_roi


@pytest.fixture(scope="module")
def slide() -> Slide:
    """Return 1600 x 3200 px at 0.5 um/px: 100 x 200 px of the mask, 16 px each."""
    return from_array(np.full((1600, 3200), 255, np.uint8), 0.5)


def square(left: float, top: float, side: float) -> list[list[float]]:
    right, bottom = left + side, top + side
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def write(folder: Path, value: Any) -> Path:
    path = folder / "roi.geojson"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


POLYGON = {"type": "Polygon", "coordinates": [square(160, 320, 480)]}


@pytest.mark.parametrize(
    "value",
    [
        POLYGON,
        {"type": "MultiPolygon", "coordinates": [POLYGON["coordinates"]]},
        {"type": "Feature", "geometry": POLYGON, "properties": {"objectType": "annotation"}},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": POLYGON}]},
        [{"type": "Feature", "geometry": POLYGON}, {"type": "Feature", "geometry": None}],
        {
            "type": "GeometryCollection",
            "geometries": [POLYGON, {"type": "Point", "coordinates": [1, 1]}],
        },
    ],
    ids=["polygon", "multi", "feature", "features", "qupath-list", "geometries"],
)
def test_every_form_of_geojson_is_read(tmp_path: Path, slide: Slide, value: Any) -> None:
    roi = read_roi(write(tmp_path, value), slide)
    expected = np.zeros((100, 200), bool)
    expected[20:50, 10:40] = True
    np.testing.assert_array_equal(roi.inside, expected)
    assert roi.reach[expected].all()
    assert roi.reach.sum() <= 34 * 34
    assert roi.area_mm2 == pytest.approx(0.24**2)


def test_what_is_drawn_on_the_mask_lies_where_it_is(tmp_path: Path, slide: Slide) -> None:
    """From 10.3 to 39.7 px of the mask, with a px around: as far on one side as on the other."""
    polygon = {"type": "Polygon", "coordinates": [square(10.3 * 16, 10.3 * 16, 29.4 * 16)]}
    expected = np.zeros((100, 200), bool)
    expected[9:41, 9:41] = True
    np.testing.assert_array_equal(read_roi(write(tmp_path, polygon), slide).reach, expected)


@pytest.mark.parametrize("side", [40, 100, 413])
@pytest.mark.parametrize("left", [160.0, 163.7])
def test_area_and_points_are_those_of_the_outline_and_not_of_the_mask(
    tmp_path: Path, slide: Slide, side: float, left: float
) -> None:
    """A mask's pixel is 8 um wide: of a small region it tells little."""
    polygon = {"type": "Polygon", "coordinates": [square(left, 320, side)]}
    roi = read_roi(write(tmp_path, polygon), slide)
    assert roi.area_mm2 == pytest.approx((side * 0.5 / 1e3) ** 2)
    x = np.array([left - 0.1, left + 0.1, left + side - 0.1, left + side + 0.1])
    y = np.full(4, 321.0)
    assert roi.covers(y, x, 0.5).tolist() == [False, True, True, False]
    assert roi.covers(y / 2, x / 2, 1.0).tolist() == [False, True, True, False]
    rows, columns = np.mgrid[320 : 320 + side : 3, left : left + side : 3] // 16
    assert roi.reach[rows.astype(int), columns.astype(int)].all()


def test_an_outline_that_crosses_itself_is_read(tmp_path: Path, slide: Slide) -> None:
    bow = [[0, 0], [800, 800], [800, 0], [0, 800], [0, 0]]
    roi = read_roi(write(tmp_path, {"type": "Polygon", "coordinates": [bow]}), slide)
    assert roi.area_mm2 == pytest.approx(0.4**2 / 2)
    x, y = np.array([100.0, 400.0, 700.0]), np.array([400.0, 100.0, 400.0])
    assert roi.covers(y, x, 0.5).tolist() == [True, False, True]


def test_overlapping_polygons_count_once(tmp_path: Path, slide: Slide) -> None:
    value = {"type": "MultiPolygon", "coordinates": [[square(0, 0, 400)], [square(200, 0, 400)]]}
    assert read_roi(write(tmp_path, value), slide).area_mm2 == pytest.approx(0.3 * 0.2)


def test_holes_stay_empty_and_islands_in_them_do_not(tmp_path: Path, slide: Slide) -> None:
    ring = {"type": "Polygon", "coordinates": [square(0, 0, 1280), square(320, 320, 640)]}
    island = {"type": "Polygon", "coordinates": [square(560, 560, 160)]}
    value = {"type": "GeometryCollection", "geometries": [ring, island]}
    for mask in (roi := read_roi(write(tmp_path, value), slide)).inside, roi.reach:
        assert mask[10, 10]
        assert not mask[30, 30]
        assert mask[40, 40]
    assert roi.area_mm2 == pytest.approx((1280**2 - 640**2 + 160**2) * 0.25e-6)


@pytest.mark.parametrize("far", [1e6, 1e30, 1e307])
def test_what_reaches_outside_is_cut(tmp_path: Path, slide: Slide, far: float) -> None:
    huge = {"type": "Polygon", "coordinates": [square(-far, -far, 2 * far)]}
    roi = read_roi(write(tmp_path, huge), slide)
    assert roi.inside.all()
    assert roi.area_mm2 == pytest.approx(0.8 * 1.6)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no json", "cannot be read as a region of interest"),
        ("", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ({"type": "FeatureCollection"}, "features"),
        ({"a": 1}, "no object with a type"),
        ({"type": "Circle", "coordinates": []}, "unknown type 'Circle'"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "three or more"),
        ({"type": "Polygon", "coordinates": [[[0, 0], ["a", 1], [2, 2]]]}, "float"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [float("nan"), 1], [2, 2]]]}, "finite"),
        ({"type": "Polygon", "coordinates": [[[10**4000, 0], [1, 1], [2, 2]]]}, "too large"),
        ({"type": "LineString", "coordinates": [[0, 0], [5, 5]]}, "holds no polygon"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ({"type": "Polygon", "coordinates": [square(9000, 9000, 50)]}, "outside the slide"),
        ({"type": "Polygon", "coordinates": [[[5, 5], [90, 40], [5, 5]]]}, "enclose no area"),
        ({"type": "Polygon", "coordinates": [[[5, 5], [5, 5], [5, 5], [5, 5]]]}, "enclose no area"),
    ],
)
def test_anything_else_is_refused_in_one_line(
    tmp_path: Path, slide: Slide, value: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_roi(write(tmp_path, value), slide)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(";") >= 2


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, slide: Slide) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_roi(tmp_path / "absent.geojson", slide)
    with pytest.raises(InputError, match="cannot be read"):
        read_roi(tmp_path, slide)


def test_a_file_of_any_size_is_not_read(
    tmp_path: Path, slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.slides.roi.MAX_BYTES", 100)
    with pytest.raises(InputError, match="interest of at most that many"):
        read_roi(write(tmp_path, [POLYGON] * 9), slide)


def test_a_packed_file_is_unpacked_and_a_bomb_is_not(
    tmp_path: Path, slide: Slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read_roi(write(tmp_path, POLYGON), slide)
    path = tmp_path / "roi.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps(POLYGON).encode()))
    assert read_roi(path, slide).sha256 == plain.sha256
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_roi(path, slide)
    monkeypatch.setattr("nuguide.slides.roi.MAX_BYTES", 1000)
    path.write_bytes(gzip.compress(b" " * 10_000))
    with pytest.raises(InputError, match="more than 1,000 bytes, unpacked"):
        read_roi(path, slide)

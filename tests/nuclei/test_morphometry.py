import time
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from scipy.ndimage import label

from nuguide.nuclei.morphometry import measure, nucleus_ids
from nuguide.nuclei.schema import SCHEMA
from nuguide.nuclei.staining import Staining
from nuguide.nuclei.stains import HDAB, HE, Stains, stain_od

SHA256 = "ab" * 32


def ellipse(shape: tuple[int, int], middle: tuple[float, float], a: float, b: float) -> np.ndarray:
    """Mask of an ellipse: half axes ``a`` along x and ``b`` along y, px."""
    y, x = np.indices(shape) + 0.5
    return ((x - middle[1]) / a) ** 2 + ((y - middle[0]) / b) ** 2 <= 1


def measured(labels: np.ndarray, **changes: Any) -> pa.Table:
    rgb = np.full((*labels.shape, 3), 120, np.uint8)
    foreground = np.full(labels.shape, 0.75, np.float32)
    place = {"origin_px": (0, 0), "mpp": 0.5, "image_sha256": SHA256}
    place |= changes
    rgb, foreground = place.pop("rgb", rgb), place.pop("foreground", foreground)
    return measure(labels, rgb, foreground, **place)


def row(table: pa.Table, index: int = 0) -> dict[str, Any]:
    return table.slice(index, 1).to_pylist()[0]


def test_an_ellipse_is_measured_in_um() -> None:
    labels = ellipse((100, 120), (50, 60), 40, 20).astype(np.int32)
    nucleus = row(measured(labels))
    assert nucleus["area_um2"] == pytest.approx(np.pi * 40 * 20 / 4, rel=0.01)
    assert nucleus["major_axis_um"] == pytest.approx(40.0, rel=0.01)
    assert nucleus["minor_axis_um"] == pytest.approx(20.0, rel=0.01)
    assert nucleus["eccentricity"] == pytest.approx(np.sqrt(0.75), abs=0.01)
    assert nucleus["solidity"] > 0.97
    assert nucleus["perimeter_um"] == pytest.approx(96.9, rel=0.01)  # Ramanujan's
    assert (nucleus["centroid_x_px"], nucleus["centroid_y_px"]) == pytest.approx((60, 50), abs=0.1)
    assert nucleus["centroid_x_um"] == pytest.approx(30, abs=0.05)
    assert nucleus["type"] is None


def test_the_perimeter_of_a_disc_is_that_of_a_circle() -> None:
    """Without the steps of its pixels, whatever its size; so a round nucleus has circularity 1."""
    labels = np.zeros((80, 500), np.int32)
    radii = range(6, 36, 3)
    left = 0
    for number, radius in enumerate(radii, start=1):
        y, x = np.mgrid[:80, :500]
        labels[np.hypot(y - 40.3, x - left - radius - 1.2) < radius] = number
        left += 2 * radius + 4
    found = measured(labels[:, :left])["perimeter_um"].to_numpy() / 0.5
    assert found == pytest.approx([2 * np.pi * radius for radius in radii], rel=0.02)


def test_a_calibrated_confidence_has_a_column_of_its_own() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[4:10, 6:14] = 3
    assert row(measured(labels))["match_probability"] is None
    nucleus = row(measured(labels, calibrated=lambda confidence: confidence**2))
    assert nucleus["confidence"] == pytest.approx(0.75)
    assert nucleus["match_probability"] == pytest.approx(0.75**2)


def test_coordinates_are_full_resolution_px_wherever_the_region_lies() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[4:10, 6:14] = 3
    nucleus = row(measured(labels, origin_px=(1000, 2000), mpp=0.25, region=7))
    bounds = shapely.from_wkb(nucleus["geometry"]).bounds
    assert bounds == pytest.approx((2006, 1004, 2014, 1010), abs=0.1)
    assert nucleus["area_um2"] == pytest.approx(48 / 16, rel=1e-4)
    assert nucleus["region"] == 7


def test_size_in_um_does_not_depend_on_the_scale_of_the_labels() -> None:
    coarse = ellipse((60, 60), (30, 30), 20, 10).astype(np.int32)
    fine = ellipse((120, 120), (60, 60), 40, 20).astype(np.int32)
    one = row(measured(coarse, mpp=0.5))
    other = row(measured(fine, mpp=0.25))
    for name in ("area_um2", "major_axis_um", "minor_axis_um", "perimeter_um", "centroid_x_um"):
        assert one[name] == pytest.approx(other[name], rel=0.03)


@pytest.mark.parametrize("stains", [HE, HDAB])
def test_stains_and_confidence_are_means_inside(stains: Stains) -> None:
    labels = np.zeros((10, 10), np.int32)
    labels[:5], labels[5:] = 2, 8
    rgb = np.full((10, 10, 3), 255, np.uint8)
    rgb[:5] = np.random.default_rng(0).integers(60, 190, (5, 10, 3))
    foreground = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    table = measured(labels, rgb=rgb, foreground=foreground, staining=Staining(stains))
    assert table["confidence"].to_numpy() == pytest.approx(
        [foreground[:5].mean(), foreground[5:].mean()], rel=1e-5
    )
    for stain, name in enumerate(("hematoxylin_od_mean", "second_stain_od_mean")):
        expected = stain_od(rgb[:5], stains)[..., stain].mean()
        assert table[name].to_numpy() == pytest.approx([expected, 0.0])
        assert expected > 0.01


def test_a_nucleus_is_positive_by_its_mean_of_the_second_stain() -> None:
    labels = np.zeros((12, 10), np.int32)
    for number in range(3):
        labels[4 * number : 4 * number + 3] = number + 1
    rgb = np.full((12, 10, 3), 255, np.uint8)
    brown = 10 ** -(np.array([0.27, 0.57, 0.78]) / np.linalg.norm([0.27, 0.57, 0.78]))
    rgb[4:7], rgb[8:11] = 255 * brown**0.3, 255 * brown**0.7
    rgb[8, :5] = 255  # its mean is 0.7 * 25 / 30
    table = measured(labels, rgb=rgb, staining=Staining(HDAB, (0.2, 0.4, 0.6)))
    assert table["second_stain_od_mean"].to_numpy() == pytest.approx([0, 0.3, 0.583], abs=0.01)
    assert table["positivity"].to_pylist() == ["Negative", "1+", "2+"]
    table = measured(labels, rgb=rgb, staining=Staining(HDAB, (0.4,)))
    assert table["positivity"].to_pylist() == ["Negative", "Negative", "Positive"]


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same height and width"):
        measured(np.ones((4, 5), np.int32), rgb=np.zeros((4, 4, 3), np.uint8))


def test_rows_go_by_label_and_keep_the_schema() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[12:18, 12:18], labels[1:5, 1:5] = 4, 30
    table = measured(labels)
    table.validate(full=True)
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table["area_um2"].to_numpy() == pytest.approx([9.0, 4.0])
    told = {"type", "match_probability", "positivity"} ^ {*table.column_names}
    assert not any(table[name].null_count for name in told), "the others are for some models"


def test_nothing_gives_the_empty_table() -> None:
    table = measured(np.zeros((9, 9), np.int32))
    assert table.num_rows == 0
    assert table.schema.equals(SCHEMA)


def test_ids_are_stable_unique_uuids_of_image_and_outline() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:6, 2:6], labels[10:14, 10:14] = 1, 2
    ids = measured(labels)["id"].to_pylist()
    assert measured(labels)["id"].to_pylist() == ids
    assert len(set(ids)) == 2
    assert all(uuid.UUID(one).version == 5 for one in ids)
    assert not set(ids) & set(measured(labels, image_sha256="cd" * 32)["id"].to_pylist())


def test_which_region_read_a_nucleus_does_not_change_it() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (60, 60)).repeat(5, 0).repeat(5, 1)
    labels = label(labels > 1)[0].astype(np.int32)
    labels[:40] = labels[:, :40] = 0
    for y, x in ((0, 0), (4_321, 123_456)):
        whole = measured(labels, origin_px=(y, x))
        shifted = measured(labels[37:, 19:], origin_px=(y + 37, x + 19))
        for column in ("id", "geometry"):
            assert sorted(whole[column].to_pylist()) == sorted(shifted[column].to_pylist())


def test_an_id_is_the_uuid5_of_the_outline_in_the_images_name_space() -> None:
    square = shapely.box(0, 0, 3, 5)
    outlines = np.array(
        [shapely.transform(square, lambda points, k=k: points + k) for k in range(20)]
    )
    image = uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{'b' * 64}")
    expected = [str(uuid.uuid5(image, wkb)) for wkb in shapely.to_wkb(outlines, hex=True)]
    assert nucleus_ids(pa.array(shapely.to_wkb(outlines)), "b" * 64).to_pylist() == expected


def test_eight_hundred_nuclei_take_no_loop_over_pixels() -> None:
    labels = np.zeros((1000, 1000), np.int32)
    for number in range(841):
        top, left = number // 29 * 34, number % 29 * 34
        labels[top : top + 28, left : left + 24] = number + 1
    start = time.process_time()
    assert measured(labels).num_rows == 841
    # 0.2 s measured; the room is for a busy machine.
    assert time.process_time() - start < 1.5

import contextlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from roifile import ImagejRoi

from fixtures.annotated import tissue
from fixtures.replicas import write_picture, write_roi_set
from nuguide.datasets import imagej
from nuguide.datasets.imagej import read_roi_set
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.pictures import read_labels
from nuguide.datasets.polygons import rasterise
from nuguide.errors import DataSetError

BOXES = [np.array([(x, 3), (x + 6, 3), (x + 6, 10), (x, 10)]) for x in (2, 12)]


def test_a_plain_folder_may_have_roi_sets_for_masks(tmp_path: Path):
    write_picture(tmp_path / "images" / "a.png", tissue(24).image)
    write_roi_set(tmp_path / "masks" / "a.zip", BOXES)
    labels = open_dataset(tmp_path, mpp=0.25)[0].labels
    expected = np.zeros((24, 24), np.int32)
    expected[3:10, 2:8], expected[3:10, 12:18] = 1, 2
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("name", ["TCGA-DE-A4MA", "TCGA-S4-A8RO"])
def test_regions_drawn_by_hand_give_the_masks_made_of_them(shared: Path, name: str):
    root = shared / "data" / "cryonuseg_pilot"
    mask = read_labels(root / "masks" / f"{name}.png")
    drawn = read_roi_set(root / "original" / f"{name}_RoiSet.zip")
    labels = rasterise(drawn, (mask.shape[0], mask.shape[1]))
    np.testing.assert_array_equal(labels > 0, mask > 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"x" * 100])
def test_no_archive_is_one_clear_line(tmp_path: Path, content: bytes):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(DataSetError, match=r"x\.zip cannot be read .*RoiSet"):
        read_roi_set(path)


@pytest.mark.parametrize("region", [b"", b"Iout", b"no region" * 20, b"Iout" + b"\xff" * 80])
def test_a_damaged_region_is_refused(tmp_path: Path, region: bytes):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.roi", region)
    with pytest.raises(DataSetError, match=r"x\.zip cannot be read"):
        read_roi_set(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_archives_changed_anywhere_never_crash(tmp_path: Path, method: int):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(3):
            archive.writestr(f"{number}.roi", ImagejRoi.frompoints(BOXES[0]).tobytes())
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataSetError):
            read_roi_set(path)


def test_a_region_shorter_than_it_says_is_refused(tmp_path: Path):
    region = bytearray(ImagejRoi.frompoints(BOXES[0]).tobytes())
    region[16:18] = b"\x7f\xff"  # points
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.roi", bytes(region))
    with pytest.raises(DataSetError, match=r"x\.zip cannot be read"):
        read_roi_set(path)


def test_a_bomb_is_refused_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.roi", bytes(imagej.MAX_ROI_BYTES + 1))
    with pytest.raises(DataSetError, match="the largest of 1,000,001 bytes"):
        read_roi_set(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(201):
            archive.writestr(f"{number}.roi", bytes(imagej.MAX_ROI_BYTES))
    with pytest.raises(DataSetError, match="and all of 201,000,000; expected at most"):
        read_roi_set(path)
    write_roi_set(path, BOXES)
    monkeypatch.setattr(imagej, "MAX_ROIS", 1)
    with pytest.raises(DataSetError, match="holds 2 regions"):
        read_roi_set(path)


def test_nothing_leaves_the_archive(tmp_path: Path):
    path = tmp_path / "in" / "x.zip"
    write_roi_set(path, BOXES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.roi", archive.read("0000.roi"))
    assert len(read_roi_set(path)) == 3
    assert [each.name for each in tmp_path.rglob("*")] == ["in", "x.zip"]

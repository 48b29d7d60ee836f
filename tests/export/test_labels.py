from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuguide.errors import OutputError
from nuguide.export import labels as label_tiff
from nuguide.export.label_pyramid import open_labels
from nuguide.export.labels import write_labels
from nuguide.slides.tiff import decode_tiff


def test_labels_come_back_with_their_scale(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.tif"
    write_labels(labels, path, 0.25)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        assert page.dtype == np.uint16
        assert page.is_tiled
        assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER
        assert page.get_resolution("micrometer") == pytest.approx((4.0, 4.0))
        assert (page.asarray() == labels).all()


def test_the_scale_is_one_that_nuguide_reads(tmp_path: Path, labels: np.ndarray) -> None:
    write_labels(labels, tmp_path / "labels.tif", 0.2631)
    scale = decode_tiff(tmp_path / "labels.tif").scale
    assert scale is not None
    assert scale.mpp == pytest.approx(0.2631, rel=1e-6)


def test_many_labels_take_32_bits(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.tif"
    write_labels(labels * 30_000, path, 0.25)
    written = tifffile.imread(path)
    assert written.dtype == np.uint32
    assert (written == labels * 30_000).all()


def test_no_nuclei_and_equal_bytes(tmp_path: Path, labels: np.ndarray) -> None:
    empty = np.zeros((8, 8), np.int32)
    for name in ("one.tif", "other.tif"):
        write_labels(empty, tmp_path / name, 0.5)
    assert not tifffile.imread(tmp_path / "one.tif").any()
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "other.tif").read_bytes()


def test_a_place_that_cannot_be_written(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_labels(labels, tmp_path / "absent" / "labels.tif", 0.25)


def test_the_pyramid_of_a_slide_becomes_the_same_tiff(tmp_path: Path) -> None:
    labels = np.zeros((1100, 1300), np.int32)
    labels[500:520, 500:540], labels[1090:, 1290:] = 1, 70_000
    pyramid = tmp_path / "labels.ome.zarr"
    with open_labels(pyramid, labels.shape, 0.25, np.zeros((8, 9, 3), np.uint8)) as canvas:
        canvas.write(0, 0, labels)
    write_labels(pyramid, tmp_path / "slide.tif", 0.25)
    write_labels(labels, tmp_path / "array.tif", 0.25)
    assert (tifffile.imread(tmp_path / "slide.tif") == labels).all()
    assert (tmp_path / "slide.tif").read_bytes() == (tmp_path / "array.tif").read_bytes()


def test_tiles_that_are_packed_side_by_side_keep_their_order(tmp_path: Path) -> None:
    numbers = np.arange(1, 37, dtype=np.int32).reshape(4, 9)
    numbers[numbers % 5 == 0] = 0  # some are blank
    labels = np.kron(numbers, np.ones((512, 512), np.int32))[:-100, :-7]
    write_labels(labels, tmp_path / "labels.tif", 0.25)
    assert (tifffile.imread(tmp_path / "labels.tif") == labels).all()


def test_what_a_plain_tiff_may_not_hold_becomes_a_big_one(
    tmp_path: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_labels(labels, tmp_path / "plain.tif", 0.25)
    monkeypatch.setattr(label_tiff, "_BIG_FROM_BYTES", 1000)
    write_labels(labels, tmp_path / "big.tif", 0.25)
    with (
        tifffile.TiffFile(tmp_path / "plain.tif") as plain,
        tifffile.TiffFile(tmp_path / "big.tif") as big,
    ):
        assert (plain.is_bigtiff, big.is_bigtiff) == (False, True)
        assert (big.asarray() == labels).all()

from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuguide.errors import OutputError
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

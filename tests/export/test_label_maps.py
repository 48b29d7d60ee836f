import shutil
from pathlib import Path

import numpy as np
import pytest

from nuguide.export.label_maps import is_whole, opened_labels, windows_of
from nuguide.export.label_pyramid import NUCLEI, open_labels
from nuguide.export.labels import write_labels

SHAPE = (2100, 1300)
FORMS = ("labels.tif", "labels.ome.zarr")


@pytest.fixture
def large() -> np.ndarray:
    """Three nuclei, of which two lie across the borders of chunks and one at the end."""
    labels = np.zeros(SHAPE, np.int32)
    labels[1000:1050, 1000:1050], labels[2000:2060, 500:520], labels[2090:, 1290:] = 1, 2, 3
    return labels


@pytest.fixture
def written(tmp_path: Path, large: np.ndarray) -> Path:
    """A folder that holds them in every form."""
    write_labels(large, tmp_path / "labels.tif", 0.25)
    thumbnail = np.zeros((8, 9, 3), np.uint8)
    with open_labels(tmp_path / "labels.ome.zarr", SHAPE, 0.25, thumbnail) as canvas:
        canvas.write(0, 0, large)
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_windows_of_what_was_written_make_the_same_map(
    written: Path, large: np.ndarray, form: str
) -> None:
    again = np.zeros(SHAPE, np.int32)
    with opened_labels(written / form) as source:
        for y, x, window in windows_of(source):
            assert window.dtype == np.int32
            assert window.any()
            assert max(window.shape) <= 1024
            again[y : y + window.shape[0], x : x + window.shape[1]] = window
    assert (again == large).all()


def test_labels_in_memory_are_given_as_they_are(large: np.ndarray) -> None:
    with opened_labels(large) as source:
        assert source is large


@pytest.mark.parametrize("form", FORMS)
def test_a_map_is_whole_with_this_size_and_all_nuclei(written: Path, form: str) -> None:
    assert is_whole(written / form, SHAPE, 3)
    assert not is_whole(written / form, SHAPE, 4)
    assert not is_whole(written / form, SHAPE, 2)
    assert not is_whole(written / form, (2100, 1299), 3)


def test_a_map_that_lost_a_part_is_not_whole(written: Path) -> None:
    shutil.rmtree(written / "labels.ome.zarr" / NUCLEI / "0" / "2")
    assert not is_whole(written / "labels.ome.zarr", SHAPE, 3)
    content = (written / "labels.tif").read_bytes()
    (written / "labels.tif").write_bytes(content[: len(content) // 2])
    assert not is_whole(written / "labels.tif", SHAPE, 3)
    (written / "labels.tif").write_text("no picture")
    assert not is_whole(written / "labels.tif", SHAPE, 3)
    assert not is_whole(written / "absent.tif", SHAPE, 3)

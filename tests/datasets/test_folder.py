from pathlib import Path

import numpy as np
import pytest

from nuguide.datasets.opening import open_dataset
from nuguide.errors import DataSetError, ResolutionError


def test_label_maps_are_kept_and_binary_masks_numbered(plain_folder: Path, pair):
    mapped, binary = open_dataset(plain_folder, mpp=0.4)
    assert [mapped.name, binary.name] == ["a", "b"]
    assert (mapped.mpp, binary.mpp) == (0.4, 0.4)
    np.testing.assert_array_equal(mapped.labels, pair[1])
    assert mapped.labels.dtype == binary.labels.dtype == np.int32
    assert np.unique(binary.labels).tolist() == [0, 1], "the two touch: one connected part"
    assert mapped.image[0, 0].tolist() == [200, 0, 0], "colours are RGB"


def test_each_connected_part_of_a_binary_mask_is_an_instance(
    plain_folder: Path, write_picture, pair
):
    mask = np.zeros(pair[1].shape, np.uint8)
    mask[1:5, 1:5] = mask[1:5, 10:15] = mask[12:18, 20:25] = 255
    write_picture(plain_folder / "masks" / "b.tif", mask)
    labels = open_dataset(plain_folder, mpp=0.5)[1].labels
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    assert len(np.unique(labels[1:5, 1:5])) == 1
    np.testing.assert_array_equal(labels > 0, mask > 0)


@pytest.mark.parametrize("value", [0, 7])
def test_nuclei_that_leave_no_background_and_empty_masks(
    plain_folder: Path, write_picture, pair, value: int
):
    """Two values without 0 are two nuclei, not a binary mask; no value at all is no nucleus."""
    mask = np.full(pair[1].shape, value, np.uint8)
    mask[:10] *= 2
    write_picture(plain_folder / "masks" / "b.tif", mask)
    np.testing.assert_array_equal(open_dataset(plain_folder, mpp=0.5)[1].labels, mask)


def test_other_files_are_left_alone(plain_folder: Path):
    (plain_folder / "images" / "notes.txt").write_text("not a picture")
    assert len(open_dataset(plain_folder, mpp=0.5)) == 2


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match=r"holds nothing, which is no data set known here"):
        open_dataset(tmp_path, mpp=0.5)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataSetError, match="no pictures in images/; expected"):
        open_dataset(tmp_path, mpp=0.5)


def test_a_missing_mask_is_named(plain_folder: Path):
    (plain_folder / "masks" / "b.tif").unlink()
    with pytest.raises(DataSetError, match=r"b\.png has no mask; expected a picture named b\.\*"):
        open_dataset(plain_folder, mpp=0.5)


def test_a_mask_of_another_size_is_named(plain_folder: Path, write_picture):
    write_picture(plain_folder / "masks" / "b.tif", np.zeros((20, 31), np.uint8))
    with pytest.raises(DataSetError, match=r"b\.tif is 20 x 31 px; expected 20 x 30 px"):
        list(open_dataset(plain_folder, mpp=0.5))


def test_two_pictures_of_one_stem_are_refused(plain_folder: Path, write_picture, pair):
    write_picture(plain_folder / "images" / "b.jpg", pair[0])
    with pytest.raises(DataSetError, match=r"b\.jpg and b\.png; expected one picture a stem"):
        open_dataset(plain_folder, mpp=0.5)


@pytest.mark.parametrize("mpp", [None, 0.0, float("nan"), 50.0])
def test_a_scale_is_required(plain_folder: Path, mpp: float | None):
    with pytest.raises(ResolutionError, match="--mpp"):
        open_dataset(plain_folder, mpp=mpp)

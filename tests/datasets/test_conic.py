import pickle
from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import write_conic
from nuguide.datasets.conic import CLASSES
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError


def test_patches_come_with_classes_and_the_image_they_were_cut_from(tmp_path: Path):
    truths = write_conic(tmp_path)
    data = recognise(tmp_path)
    assert data.classes == CLASSES
    sample = data.entries[3].read()
    assert (sample.name, sample.source, sample.organ) == ("consep_2-0000", "consep_2", "colon")
    assert sample.mpp == 0.5
    truth = truths[sample.name]
    np.testing.assert_array_equal(sample.image, truth.image)
    np.testing.assert_array_equal(sample.labels, truth.labels)
    np.testing.assert_array_equal(sample.types, truth.types)
    assert (sample.image.dtype, sample.types.dtype) == (np.uint8, np.uint8)


def test_a_fold_takes_whole_images(tmp_path: Path):
    write_conic(tmp_path)
    test = open_dataset(tmp_path, "test").entries
    train = open_dataset(tmp_path, "train").entries
    assert len(test) % 3 == 0
    assert len(test) + len(train) == 18
    assert not {entry.source for entry in test} & {entry.source for entry in train}


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path):
    write_conic(tmp_path)
    np.save(tmp_path / "images.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    with pytest.raises(DataSetError, match=r"images\.npy cannot be read .*without objects"):
        open_dataset(tmp_path)
    (tmp_path / "images.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataSetError, match=r"images\.npy cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((18, 32, 32), np.uint8),
        np.zeros((18, 32, 32, 3), np.float32),
        np.zeros((17, 32, 32, 3), np.uint8),
        np.zeros((18, 32, 30, 3), np.uint8),
    ],
    ids=["no colours", "floats", "one missing", "another size"],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, array: np.ndarray):
    write_conic(tmp_path)
    np.save(tmp_path / "images.npy", array)
    with pytest.raises(DataSetError, match="expected"):
        open_dataset(tmp_path)


def test_a_truncated_and_a_zipped_array_are_refused(tmp_path: Path):
    write_conic(tmp_path)
    path = tmp_path / "labels.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataSetError, match=r"labels\.npy cannot be read"):
        open_dataset(tmp_path)
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(DataSetError, match=r"labels\.npy cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "shape",
    [
        "(4611686018427387904, 4, 1, 1)",
        "(99999999999999999999, 8, 8, 3)",
        "(-1, 8, 8, 3)",
        "(True,)",
        "(" * 3000,
        f"({'9' * 5000},)",
    ],
)
def test_no_header_of_an_array_ends_in_a_traceback(tmp_path: Path, shape: str):
    write_conic(tmp_path)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(400)
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(DataSetError, match=r"images\.npy cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(("dtype", "far"), [("i8", 1 << 32), ("u4", 1 << 31)])
def test_numbers_that_need_more_than_32_bits_stay_apart(tmp_path: Path, dtype: str, far: int):
    write_conic(tmp_path)
    path = tmp_path / "labels.npy"
    pairs = np.load(path).astype(dtype)
    pairs[..., 0] = np.where(
        pairs[..., 0] == 2, far + 1, pairs[..., 0]
    )  # 1 + 2**32 is 1 in 32 bits
    np.save(path, pairs)
    labels, there = open_dataset(tmp_path)[0].labels, pairs[0, ..., 0]
    assert {1, far + 1} < set(there.ravel().tolist())
    _, counted_anew = np.unique(there, return_inverse=True)
    np.testing.assert_array_equal(labels, counted_anew.reshape(labels.shape))


def test_a_class_that_there_is_not_is_named(tmp_path: Path):
    write_conic(tmp_path)
    labels = np.load(tmp_path / "labels.npy")
    labels[2, 0, 0, 1] = 7
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(
        DataSetError, match=r"patch 2 \(consep_1-0002\), holds numbers out of range"
    ):
        list(open_dataset(tmp_path))


def test_without_the_images_of_origin_there_is_no_split(tmp_path: Path):
    write_conic(tmp_path)
    (tmp_path / "patch_info.csv").unlink()
    with pytest.raises(DataSetError, match=r"patch_info\.csv is missing"):
        open_dataset(tmp_path)

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from fixtures.replicas import write_consep, write_consep_tiles, write_picture
from nuguide.datasets.consep import CLASSES
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError


def test_seven_published_classes_become_four(tmp_path: Path):
    truths = write_consep(tmp_path)
    data = recognise(tmp_path)
    assert data.classes == CLASSES
    for sample in open_dataset(tmp_path, "test"):
        truth = truths[sample.name]
        np.testing.assert_array_equal(sample.image, truth.image)
        np.testing.assert_array_equal(sample.labels, truth.labels)
        merged = {1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 4, 7: 4, 0: 0}
        expected = np.vectorize(merged.__getitem__)(truth.types)
        np.testing.assert_array_equal(sample.types, expected)
        assert (sample.mpp, sample.organ) == (0.25, "colon")


def test_tiles_are_stitched(tmp_path: Path):
    truths = write_consep_tiles(tmp_path)
    samples = {sample.name: sample for sample in open_dataset(tmp_path)}
    assert samples.keys() == truths.keys()
    for name, truth in truths.items():
        np.testing.assert_array_equal(samples[name].image, truth.image)
        np.testing.assert_array_equal(samples[name].labels, truth.labels)
        np.testing.assert_array_equal(samples[name].types, truth.types)


def test_real_tiles_hold_the_published_number_of_nuclei(shared: Path):
    samples = open_dataset(shared / "data" / "consep", "test")
    assert len(samples) == 14
    counts = [len(np.unique(sample.labels)) - 1 for sample in samples[:2]]
    assert counts == [int(samples[i].labels.max()) for i in (0, 1)], "numbered without gaps"


def test_tiles_that_disagree_are_named(tmp_path: Path):
    write_consep_tiles(tmp_path)
    write_picture(tmp_path / "masks" / "train_1_004.png", np.full((32, 32), 9, np.uint16))
    with pytest.raises(DataSetError, match=r"tile train_1_004, differs from its neighbours in \d+"):
        list(open_dataset(tmp_path))


def test_a_missing_tile_and_a_gap_are_named(tmp_path: Path):
    write_consep_tiles(tmp_path)
    (tmp_path / "types" / "train_1_000.png").unlink()
    with pytest.raises(
        DataSetError, match="has no tile train_1_000 of train_1; expected all its 9"
    ):
        list(open_dataset(tmp_path))
    index = tmp_path / "index.csv"
    rows = index.read_text().splitlines(keepends=True)
    index.write_text("".join(row for row in rows if not row.startswith("train_1_000")))
    with pytest.raises(DataSetError, match="leaves 256 px of train_1 without a tile"):
        list(open_dataset(tmp_path))


def test_tiles_too_far_apart_are_refused_before_they_are_stitched(tmp_path: Path):
    write_consep_tiles(tmp_path)
    index = tmp_path / "index.csv"
    index.write_text(index.read_text().replace(",train,train_1,0,16", ",train,train_1,90000,90000"))
    with pytest.raises(
        DataSetError, match=r"which makes it 90032 x 90032 px; expected at most 170,000,000 px"
    ):
        list(open_dataset(tmp_path, "train"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",train,train_1,0,16", ",test,train_1,0,16", "puts train_1 into 'test'"),
        (",train,train_1,0,16", ",train,train_1,-5,16", "has the offset '-5', '16'"),
        (",train,train_1,0,16", ",train,train_1,0,x", "has the offset '0', 'x'"),
        (",train,train_1,0,16", ",train,train_1,0,999999999", "from 0 to 100,000"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, old: str, new: str, message: str):
    write_consep_tiles(tmp_path)
    index = tmp_path / "index.csv"
    index.write_text(index.read_text().replace(old, new))
    with pytest.raises(DataSetError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file" + b"\x00" * 200, b"\x01" * 500])
def test_a_damaged_matlab_file_is_one_clear_line(tmp_path: Path, content: bytes):
    write_consep(tmp_path)
    path = tmp_path / "Test" / "Labels" / "test_1.mat"
    path.write_bytes(content)
    with pytest.raises(DataSetError, match=r"test_1\.mat cannot be read") as error:
        open_dataset(tmp_path, "test")[0]
    assert "\n" not in str(error.value)


def test_matlab_files_cut_or_changed_anywhere_never_crash(tmp_path: Path):
    write_consep(tmp_path, size=24)
    path = tmp_path / "Test" / "Labels" / "test_1.mat"
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole[: random.integers(100, len(whole))])
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            open_dataset(tmp_path, "test")[0]
        except DataSetError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "matrix",
    [np.full((64, 64), 0.5), np.full((64, 64), -1.0), np.array([["a"]]), np.ones((3, 3, 3))],
)
def test_a_matrix_that_is_no_label_map_is_refused(tmp_path: Path, matrix: np.ndarray):
    write_consep(tmp_path)
    path = tmp_path / "Test" / "Labels" / "test_1.mat"
    scipy.io.savemat(path, {"inst_map": matrix, "type_map": np.zeros((64, 64))})
    with pytest.raises(DataSetError, match=r"test_1\.mat"):
        open_dataset(tmp_path, "test")[0]


def test_numbers_that_tables_could_not_hold_are_counted_anew(tmp_path: Path):
    write_consep(tmp_path)
    path = tmp_path / "Test" / "Labels" / "test_1.mat"
    numbers = np.zeros((64, 64))
    numbers[:3], numbers[5:9] = 7, 2**31 - 1
    scipy.io.savemat(path, {"inst_map": numbers, "type_map": np.zeros((64, 64))})
    labels = open_dataset(tmp_path, "test")[0].labels
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert (labels == 2).sum() == 4 * 64


def test_a_class_beyond_the_seventh_is_refused(tmp_path: Path):
    write_consep(tmp_path)
    path = tmp_path / "Test" / "Labels" / "test_1.mat"
    scipy.io.savemat(path, {"inst_map": np.zeros((64, 64)), "type_map": np.full((64, 64), 8.0)})
    with pytest.raises(DataSetError, match="holds class 8; expected classes from 0 to 7"):
        open_dataset(tmp_path, "test")[0]

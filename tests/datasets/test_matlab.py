from pathlib import Path

import numpy as np
import pytest
import scipy.io

from nuguide.datasets.matlab import DAMAGE, read_matrix

MATRIX = np.arange(48.0).reshape(6, 8)


def saved(path: Path, compressed: bool = False, **matrices: object) -> Path:
    scipy.io.savemat(path, matrices, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4", "f4", "f8", "i8"])
@pytest.mark.parametrize("name", ["a", "inst_map", "of_a_long_name"])
def test_a_matrix_is_what_scipy_wrote(tmp_path: Path, compressed: bool, dtype: str, name: str):
    other = {"first": np.ones((200, 300)), "words": "text", "cells": {"x": 1.0}}
    path = saved(tmp_path / "a.mat", compressed, **other, **{name: MATRIX.astype(dtype)})
    found = read_matrix(path, name, 48)
    np.testing.assert_array_equal(found, MATRIX)
    np.testing.assert_array_equal(read_matrix(path, "first", 60_000), 1)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (MATRIX, "a 6 x 8"),
        (np.ones((2, 2, 2)), "a 2 x 2 x 2"),
        (np.ones((0, 3)), "a 0 x 3"),
        (np.ones((2, 2)) * 1j, "complex"),
        ("abc", "no numbers"),
    ],
)
def test_what_is_no_matrix_of_that_size_is_told(tmp_path: Path, held: object, said: str):
    with pytest.raises(ValueError, match=said):
        read_matrix(saved(tmp_path / "a.mat", a=held), "a", 47)


def test_a_bomb_is_told_by_its_beginning(tmp_path: Path):
    path = saved(tmp_path / "a.mat", True, a=np.zeros((3000, 3000)))
    with pytest.raises(ValueError, match="3000 x 3000"):
        read_matrix(path, "a", 1000)


@pytest.mark.parametrize("compressed", [False, True])
def test_files_changed_anywhere_are_read_or_refused(tmp_path: Path, compressed: bool):
    """scipy's reader ends the process at the type 0xA709, of 800 such files."""
    path = saved(tmp_path / "a.mat", compressed, inst_map=MATRIX, type_map=MATRIX)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_matrix(path, "inst_map", 48)
        except DAMAGE:
            refused += 1
    assert refused > 20

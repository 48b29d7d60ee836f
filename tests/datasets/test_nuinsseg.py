from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import write_nuinsseg, write_picture
from nuguide.datasets.nuinsseg import published_folds
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError


def test_ambiguous_areas_become_the_ignore_mask(tmp_path: Path):
    truths = write_nuinsseg(tmp_path)
    samples = open_dataset(tmp_path)
    assert [sample.name for sample in samples] == sorted(truths)
    first, second = samples[:2]
    assert (first.organ, first.mpp) == ("human liver", 0.25)
    expected = np.zeros((64, 64), bool)
    expected[:32, :32] = True
    np.testing.assert_array_equal(first.ignore, expected)
    assert first.ignore.dtype == bool
    assert not second.ignore.any()
    np.testing.assert_array_equal(first.labels, truths[first.name].labels)


def test_the_published_folds_are_those_of_kfold_19():
    # sklearn.model_selection.KFold(5, shuffle=True, random_state=19).split(range(12)), test parts
    parts = [[1, 7, 9], [0, 6, 11], [4, 10], [3, 8], [2, 5]]
    numbers = published_folds([None] * 12, 5)
    assert [[i for i, n in enumerate(numbers) if n == fold] for fold in range(5)] == parts


def test_without_ambiguous_areas_nothing_is_ignored(tmp_path: Path):
    write_nuinsseg(tmp_path, ("human liver",))
    for mask in tmp_path.rglob("vague areas/mask binary/*.png"):
        mask.unlink()
    assert open_dataset(tmp_path)[0].ignore is None


def test_an_organ_alone_can_be_opened(tmp_path: Path):
    write_nuinsseg(tmp_path)
    assert {entry.organ for entry in recognise(tmp_path / "mouse spleen").entries} == {
        "mouse spleen"
    }


def test_an_ignore_mask_of_another_size_is_named(tmp_path: Path):
    write_nuinsseg(tmp_path)
    mask = tmp_path / "human liver" / "vague areas" / "mask binary" / "human_liver_01.png"
    write_picture(mask, np.zeros((64, 60), np.uint8))
    with pytest.raises(DataSetError, match="is 64 x 60 px; expected 64 x 64 px"):
        list(open_dataset(tmp_path))

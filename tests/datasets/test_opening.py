from pathlib import Path

import pytest

from nuguide.datasets.base import Split
from nuguide.datasets.opening import open_dataset
from nuguide.errors import DataSetError, ResolutionError


def test_the_layout_names_the_data_set(replica: Path, plain_folder: Path):
    assert len(open_dataset(replica, "validation")) == 6
    assert open_dataset(replica, "test", mpp=1.0)[0].mpp == 0.25, "MoNuSeg brings its own scale"
    assert [sample.mpp for sample in open_dataset(plain_folder, mpp=0.5)] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(DataSetError, match=r"is no folder; expected .*; check the path"):
        open_dataset(tmp_path / name)


def test_a_plain_folder_is_all_train(plain_folder: Path):
    names = {split: _names(plain_folder, split) for split in ("fit", "validation", "train")}
    assert names["train"] == ["a", "b"]
    assert sorted(names["fit"] + names["validation"]) == ["a", "b"]
    with pytest.raises(DataSetError, match=r"no image of the split 'test'; .*--split all"):
        open_dataset(plain_folder, "test", mpp=0.5)


def _names(root: Path, split: Split) -> list[str]:
    return [sample.name for sample in open_dataset(root, split, mpp=0.5)]


def test_a_plain_folder_needs_its_scale(plain_folder: Path):
    with pytest.raises(ResolutionError, match="--mpp"):
        open_dataset(plain_folder)

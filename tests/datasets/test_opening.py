from pathlib import Path

import pytest

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


@pytest.mark.parametrize("split", ["fit", "validation", "train", "test"])
def test_a_plain_folder_has_no_split(plain_folder: Path, split):
    with pytest.raises(DataSetError, match=f"no split '{split}'; give .*--split all"):
        open_dataset(plain_folder, split, mpp=0.5)


def test_a_plain_folder_needs_its_scale(plain_folder: Path):
    with pytest.raises(ResolutionError, match="--mpp"):
        open_dataset(plain_folder)

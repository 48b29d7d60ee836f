from pathlib import Path

import numpy as np
import pytest

from fixtures.slides import write_ome_zarr
from nuguide.errors import InputError
from nuguide.slides.finding import files_of, find_images

RGB = np.zeros((20, 30, 3), np.uint8)


def test_images_are_found_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.PNG", "a.tif", ".hidden.png", "notes.txt", "c.jpeg", "d.SVS", "e.ndpi"):
        (folder / name).touch()
    (folder / "below.png").mkdir()
    write_ome_zarr(folder / "f.ome.zarr", RGB, factors=(1,))
    single = tmp_path / "z.png"
    single.touch()
    names = [path.name for path in find_images([single, folder, single])]
    assert names == ["z.png", "a.tif", "b.PNG", "c.jpeg", "d.SVS", "e.ndpi", "f.ome.zarr"]


def test_no_file_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.png").touch()
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "c.png").touch()
    monkeypatch.chdir(tmp_path)
    named = [Path("b.png"), tmp_path / "b.png", Path("a.png"), tmp_path]
    assert find_images(named) == [Path("b.png"), tmp_path / "c.png"]


def test_a_folder_that_is_an_image_is_one_image(tmp_path: Path) -> None:
    zarr = write_ome_zarr(tmp_path / "t.zarr", RGB, factors=(1,), version="0.4")
    dicom = tmp_path / "dicom"
    dicom.mkdir()
    for name in ("2.dcm", "1.dcm"):
        (dicom / name).touch()
    assert find_images([zarr, dicom]) == [zarr, dicom]
    assert [file.name for file in files_of(dicom)] == ["1.dcm", "2.dcm"]
    assert [file.name for file in files_of(dicom / "2.dcm")] == ["1.dcm", "2.dcm"]
    assert len(files_of(zarr)) == len([file for file in zarr.rglob("*") if file.is_file()])


def test_mrxs_comes_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for name in ("s.mrxs", "s/Slidedat.ini", "s/Data0001.dat", "other.mrxs"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images([tmp_path])] == ["other.mrxs", "s.mrxs"]
    names = [file.name for file in files_of(tmp_path / "s.mrxs")]
    assert sorted(names) == ["Data0001.dat", "Slidedat.ini", "s.mrxs"]


def test_empty_folder_and_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.jpg"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="does not exist"):
        find_images([tmp_path / "absent"])

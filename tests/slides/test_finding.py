from pathlib import Path

import numpy as np
import pytest

from fixtures.slides import write_ome_zarr
from nuguide.errors import InputError
from nuguide.slides.finding import files_of, find_images, first_dicom

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


def test_folders_below_are_searched_where_it_is_asked(tmp_path: Path) -> None:
    for name in (
        *("top.png", "b/z.svs", "b/deep/y.tif", "a/x.svs", "a/logs/x.parcel", "c/1.dcm", "c/2.dcm"),
        *(".hidden/w.png", "s.mrxs", "s/Index.png", "out/x/overlay.png"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_ome_zarr(tmp_path / "d" / "f.ome.zarr", RGB, factors=(1,))
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    found = find_images([tmp_path], below=True, passed_over=lambda folder: folder.name == "out")
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["s.mrxs", "top.png", "a/x.svs", "b/z.svs", "b/deep/y.tif", "c", "d/f.ome.zarr"]
    assert [path.name for path in find_images([tmp_path])] == ["s.mrxs", "top.png"]


def test_a_folder_of_folders_says_how_to_search_them(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    with pytest.raises(InputError, match="--recursive"):
        find_images([tmp_path])
    with pytest.raises(InputError, match="nor does one below it"):
        find_images([tmp_path], below=True)


@pytest.mark.parametrize("left", [".DS_Store", "Thumbs.db", "desktop.ini", "._1.dcm"])
def test_looking_at_a_folder_does_not_change_the_image_in_it(tmp_path: Path, left: str) -> None:
    zarr = write_ome_zarr(tmp_path / "t.zarr", RGB, factors=(1,), version="0.4")
    for name in ("dicom/1.dcm", "s.mrxs", "s/Slidedat.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images = (zarr, tmp_path / "dicom", tmp_path / "s.mrxs")
    before = [files_of(image) for image in images]
    for folder in (zarr, tmp_path / "dicom", tmp_path / "s"):
        (folder / left).touch()
    assert [files_of(image) for image in images] == before


def test_dicom_is_known_by_its_suffix_in_capitals_too(tmp_path: Path) -> None:
    for name in ("._1.DCM", "1.DCM", "2.dcm"):
        (tmp_path / name).touch()
    assert find_images([tmp_path]) == [tmp_path]
    assert first_dicom(tmp_path) == tmp_path / "1.DCM"
    assert [file.name for file in files_of(tmp_path / "1.DCM")] == ["1.DCM", "2.dcm"]

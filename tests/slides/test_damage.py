"""Slides that are cut short, lie, burst, or go away while they are read."""

import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fixtures.slides import write_aperio, write_ome_tiff, write_ome_zarr, write_tiled_tiff
from nuguide.errors import InputError, ResolutionError
from nuguide.slides.reader import Slide, open_slide

TIFFS = {"aperio": write_aperio, "tiled-tiff": write_tiled_tiff, "ome-tiff": write_ome_tiff}

Write = Callable[..., Path]


@pytest.fixture(params=list(TIFFS))
def whole(request: pytest.FixtureRequest, tissue: NDArray[np.uint8], tmp_path: Path) -> Path:
    """Return a sound TIFF slide of each kind, to be spoilt."""
    suffix = "svs" if request.param == "aperio" else "tif"
    return TIFFS[request.param](tmp_path / f"slide.{suffix}", tissue[:300, :400])


def refused(path: Path, words: str) -> None:
    """Open and read; hold that it fails in one line of three parts that names the file."""
    with pytest.raises(InputError, match=words) as caught:
        read_all(open_slide(path, 0.25))
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    assert "expected" in message


def read_all(slide: Slide) -> NDArray[np.uint8]:
    return slide.read_at(0, 0, *slide.shape_at(0.5), 0.5)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.8, 0.97])
def test_a_truncated_slide_is_refused(whole: Path, share: float) -> None:
    os.truncate(whole, int(share * whole.stat().st_size))
    refused(whole, "cannot be decoded|ends after|cannot be opened")


@pytest.mark.parametrize("size", [(9000, 300), (70_000, 60_000), (4_000_000_000, 4_000_000_000)])
def test_a_tiff_that_lies_about_its_size_is_refused(whole: Path, size: tuple[int, int]) -> None:
    with tifffile.TiffFile(whole, mode="r+b") as tiff:
        for tag, length in zip(("ImageWidth", "ImageLength"), size, strict=True):
            tiff.pages[0].tags[tag].overwrite(length, dtype="I")
    refused(whole, "strips or tiles|at most")


def test_a_tile_that_unpacks_to_gigabytes_is_refused(whole: Path) -> None:
    data = bytearray(whole.read_bytes())
    place = data.find(b"\xff\xc0\x00\x11\x08")
    while place >= 0:
        data[place + 5 : place + 9] = struct.pack(">HH", 65_000, 65_000)
        place = data.find(b"\xff\xc0\x00\x11\x08", place + 9)
    whole.write_bytes(bytes(data))
    refused(whole, "65000")


def test_a_small_tiff_of_a_bomb_is_refused(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_tiled_tiff(tmp_path / "small.tif", tissue[:300, :400], factors=(1,))
    data = path.read_bytes()
    size = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(
        data.replace(b"\xff\xc0\x00\x11\x08\x01\x00\x01\x00", b"\xff\xc0\x00\x11\x08" + size)
    )
    refused(path, "claims to be 65000")


def test_a_deflated_tile_fills_no_more_than_its_place(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = write_tiled_tiff(tmp_path / "t.tif", tissue[:300, :400], compression="zlib")
    bomb = zlib.compress(bytes(40 << 20), 9)
    data = path.read_bytes()
    path.write_bytes(data + bomb)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = tiff.pages[0].tags
        for tag, value in (("TileOffsets", len(data)), ("TileByteCounts", len(bomb))):
            tags[tag].overwrite([value, *tags[tag].value[1:]])
    refused(path, "cannot be decoded")


@pytest.mark.parametrize("side", [300, 600])
def test_entities_of_a_description_are_never_expanded(
    tmp_path: Path, tissue: NDArray[np.uint8], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = (
        '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>&b;</Image></OME>'
    )
    path = tmp_path / "bomb.tif"
    tiled = {"tile": (256, 256), "subifds": 1} if side == 600 else {}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(tissue[:side, :side], description=bomb, metadata=None, **tiled)
        if tiled:
            tiff.write(tissue[:side:2, :side:2], subfiletype=1, metadata=None, tile=(256, 256))
    # tifffile parses the description as soon as it is asked for its series.
    monkeypatch.delattr(tifffile.TiffFile, "series")
    refused(path, "its XML has a document type")


def test_tiles_without_bytes_are_white(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_tiled_tiff(tmp_path / "t.tif", tissue[:300, :600], compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for tag in ("TileOffsets", "TileByteCounts"):
            values = tiff.pages[0].tags[tag].value
            tiff.pages[0].tags[tag].overwrite([0, *values[1:]])
    with open_slide(path) as slide:
        seen = slide.read(0, 0, 300, 600, 0.25)
    assert (seen[:256, :256] == 255).all()
    assert (seen[:, 256:] == tissue[:300, 256:600]).all()


def test_chunks_that_are_not_stored_are_white(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_ome_zarr(tmp_path / "t.ome.zarr", tissue[:300, :600])
    for channel in range(3):
        (path / "0" / "c" / str(channel) / "0" / "0").unlink()
    with open_slide(path) as slide:
        seen = slide.read(0, 0, 300, 600, 0.25)
    assert (seen[:256, :256] == 255).all()
    assert (seen[:, 256:] == tissue[:300, 256:600]).all()


def test_a_slide_that_is_cut_while_it_is_read_is_an_input_error(whole: Path) -> None:
    slide = open_slide(whole, 0.25)
    os.truncate(whole, whole.stat().st_size // 8)
    with pytest.raises(InputError, match=r"slide\.(svs|tif) cannot be"):
        read_all(slide)
    slide.close()


def test_a_folder_that_goes_while_it_is_read_is_an_input_error(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = write_ome_zarr(tmp_path / "gone.ome.zarr", tissue[:300, :400])
    slide = open_slide(path)
    shutil.rmtree(path)
    with pytest.raises(InputError, match=r"gone\.ome\.zarr cannot be read.*have gone"):
        read_all(slide)


def test_a_damaged_chunk_is_an_input_error(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_ome_zarr(tmp_path / "t.ome.zarr", tissue[:300, :400])
    (path / "0" / "c" / "1" / "0" / "0").write_bytes(b"rubbish")
    refused(path, "cannot be read as OME-Zarr")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ome: ome.pop("multiscales"),
        lambda ome: ome["multiscales"][0].pop("axes"),
        lambda ome: ome["multiscales"][0]["datasets"][0].update(path="../../other"),
        lambda ome: ome["multiscales"][0]["datasets"][0].update(path="absent"),
        lambda ome: ome["multiscales"][0]["axes"][0].update(name="t"),
        lambda ome: ome.update(multiscales="none"),
    ],
)
def test_zarr_that_is_no_image_is_refused(
    tmp_path: Path, tissue: NDArray[np.uint8], spoil: Callable[[dict], None]
) -> None:
    import json

    path = write_ome_zarr(tmp_path / "t.ome.zarr", tissue[:300, :400])
    about = json.loads((path / "zarr.json").read_text())
    spoil(about["attributes"]["ome"])
    (path / "zarr.json").write_text(json.dumps(about))
    refused(path, "expected")


@pytest.mark.parametrize("mpp", [0.0, -0.25, float("nan"), float("inf")])
def test_an_impossible_scale_is_refused(slide_path: Path, mpp: float) -> None:
    with pytest.raises(ResolutionError, match="expected a number"):
        open_slide(slide_path, mpp)


@pytest.mark.parametrize("told", [0.0, 1e9])
def test_an_impossible_scale_in_the_file_is_no_scale(
    tmp_path: Path, tissue: NDArray[np.uint8], told: float
) -> None:
    path = write_aperio(tmp_path / "t.svs", tissue[:300, :400], mpp=told, power=None)
    with pytest.raises(ResolutionError, match="does not tell"):
        open_slide(path)

"""Which image's scale and objective an OME-TIFF is taken to tell."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fixtures.slides import shrunk, write_ome_tiff
from nuguide.errors import ResolutionError
from nuguide.slides.ome import ome_power, ome_scale
from nuguide.slides.reader import open_slide

FIRST = 'ID="Image:0"'
EVERY_PAGE = {f'IFD="{page}" PlaneCount="1"': "" for page in "01"}
"""Changes that let both images claim all pages."""

OBJECTIVES = (
    '<Instrument ID="Instrument:0"><Objective ID="O:0" NominalMagnification="1.25"/>'
    '<Objective ID="O:1" NominalMagnification="40x"/></Instrument>'
)


def written(path: Path, tissue: NDArray[np.uint8], macro: float | None, main: float | None) -> Path:
    """Write a macro image, and after it the pyramid that is read."""
    rgb = tissue[:400, :640]
    tiles = {"photometric": "rgb", "tile": (128, 128), "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(shrunk(rgb, 8), metadata=size_of(macro), photometric="rgb")
        tiff.write(rgb, metadata=size_of(main), subifds=1, **tiles)
        tiff.write(shrunk(rgb, 2), subfiletype=1, metadata=None, **tiles)
    return path


def size_of(mpp: float | None) -> dict[str, object]:
    sides = {} if mpp is None else {f"PhysicalSize{axis}": mpp for axis in "XY"}
    return {"axes": "YXS", **sides}


def retell(path: Path, changes: dict[str, str]) -> None:
    """Change the XML of a file: each text, which must stand there, becomes another."""
    text = tifffile.tiffcomment(path)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    tifffile.tiffcomment(path, text.encode())


def told_of(path: Path, page: int) -> float | None:
    with tifffile.TiffFile(path) as tiff:
        scale = ome_scale(tiff, tiff.pages[page])
        return scale and scale.mpp


def test_the_scale_is_that_of_the_image_that_is_read(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    with open_slide(written(tmp_path / "t.ome.tif", tissue, 2.0, 0.25)) as slide:
        assert slide.shape == (400, 640)
        assert (slide.mpp, slide.mpp_source) == (0.25, "OME metadata")


def test_another_images_scale_is_never_taken(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = written(tmp_path / "t.ome.tif", tissue, 2.0, None)
    with pytest.raises(ResolutionError, match="does not tell its microns per pixel"):
        open_slide(path)


def test_pages_of_another_file_are_not_of_this_one(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = written(tmp_path / "t.ome.tif", tissue, 2.0, 0.25)
    elsewhere = '<TiffData IFD="1"><UUID FileName="other.tif">urn:uuid:0</UUID></TiffData>'
    retell(path, {'<TiffData IFD="0" PlaneCount="1"/>': elsewhere})
    assert told_of(path, 1) == 0.25


def test_where_images_claim_the_same_pages_their_sizes_decide(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = written(tmp_path / "t.ome.tif", tissue, 2.0, 0.25)
    retell(path, EVERY_PAGE)
    assert [told_of(path, page) for page in (0, 1)] == [2.0, 0.25]


@pytest.mark.parametrize(("macro", "told"), [(2.0, None), (0.25, 0.25)])
def test_images_that_are_not_told_apart_tell_what_they_agree_on(
    tmp_path: Path, tissue: NDArray[np.uint8], macro: float, told: float | None
) -> None:
    path = written(tmp_path / "t.ome.tif", tissue, macro, 0.25)
    retell(path, EVERY_PAGE | {'SizeX="80"': 'SizeX="640"', 'SizeY="50"': 'SizeY="400"'})
    assert told_of(path, 1) == told


def test_the_objective_is_the_one_that_the_image_names(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = written(tmp_path / "t.ome.tif", tissue, None, None)
    retell(path, {f"<Image {FIRST}": f"{OBJECTIVES}<Image {FIRST}"})
    with tifffile.TiffFile(path) as tiff:
        assert ome_power(tiff, tiff.pages[1]) is None, "it may be either"
    name = '<Pixels ID="Pixels:{0}"'
    used = {name.format(i): f'<ObjectiveSettings ID="O:{i}"/>' + name.format(i) for i in (0, 1)}
    retell(path, used)
    with open_slide(path) as slide:
        assert (slide.objective_power, slide.mpp) == (40.0, 0.25)


@pytest.mark.parametrize(("told", "power"), [("40x", 40.0), ("forty", None), ("", None)])
def test_an_odd_magnification_does_not_spoil_a_sound_file(
    tmp_path: Path, tissue: NDArray[np.uint8], told: str, power: float | None
) -> None:
    path = write_ome_tiff(tmp_path / "t.ome.tif", tissue[:300, :400])
    one = f'<Instrument ID="I:0"><Objective ID="O:0" NominalMagnification="{told}"/></Instrument>'
    retell(path, {f"<Image {FIRST}": f"{one}<Image {FIRST}"})
    with open_slide(path) as slide:
        assert (slide.mpp, slide.objective_power) == (0.25, power)


def test_an_odd_size_of_pixels_is_none(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_ome_tiff(tmp_path / "t.ome.tif", tissue[:300, :400])
    retell(path, {'PhysicalSizeX="0.25"': 'PhysicalSizeX="narrow"'})
    with open_slide(path, 0.5) as slide:
        assert slide.mpp == 0.5

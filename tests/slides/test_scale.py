from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fixtures.slides import write_aperio, write_ome_tiff, write_ome_zarr, write_tiled_tiff
from nuguide.errors import ResolutionError
from nuguide.slides.openslide_levels import _told_scales
from nuguide.slides.reader import open_slide
from nuguide.slides.scale import Scale, settle_scale


def test_what_the_user_gives_wins() -> None:
    settled = settle_scale("t.svs", 0.3, [Scale(0.25, 0.25, "openslide.mpp")], 40)
    assert (settled.mpp, settled.source, settled.warnings) == (0.3, "--mpp", ())


def test_the_first_that_is_told_is_believed() -> None:
    told = [Scale(0.263, 0.263, "openslide.mpp"), Scale(0.5, 0.5, "TIFF resolution tags")]
    assert settle_scale("t.svs", None, told).source == "openslide.mpp"


def test_nearly_square_pixels_are_averaged_and_others_refused() -> None:
    assert settle_scale("t", None, [Scale(0.25, 0.254, "x")]).mpp == pytest.approx(0.252)
    with pytest.raises(ResolutionError, match=r"0\.25 um/px across and 0\.5 down.*--mpp"):
        settle_scale("t", None, [Scale(0.25, 0.5, "x")])
    assert settle_scale("t", 0.25, [Scale(0.25, 0.5, "x")]).mpp == 0.25


@pytest.mark.parametrize(("power", "mpp"), [(40, 0.25), (20, 0.5), (83, 10 / 83)])
def test_the_objective_gives_the_scale_with_a_warning(power: float, mpp: float) -> None:
    settled = settle_scale("t.svs", None, [], power)
    assert settled.mpp == pytest.approx(mpp)
    assert settled.source == f"objective power {power}"
    assert "may be off" in settled.warnings[0]


@pytest.mark.parametrize("power", [None, 0.0, -40.0, float("nan"), 1e9])
def test_nothing_told_shows_the_flag(power: float | None) -> None:
    with pytest.raises(ResolutionError, match=r"--mpp 0\.25"):
        settle_scale("t.svs", None, [], power)


@pytest.mark.parametrize(
    ("about", "mpp", "source"),
    [
        ({"openslide.mpp-x": "0.2525", "openslide.mpp-y": "0.2525"}, 0.2525, "openslide.mpp"),
        ({"aperio.MPP": "0.4990"}, 0.499, "aperio.MPP"),
        (
            {"mirax.LAYER_0_LEVEL_0_SECTION.MICROMETER_PER_PIXEL_X": "0.23"},
            0.23,
            "mirax.LAYER_0_LEVEL_0_SECTION.MICROMETER_PER_PIXEL_X",
        ),
        (
            {
                "tiff.XResolution": "40000",
                "tiff.YResolution": "40000",
                "tiff.ResolutionUnit": "centimeter",
            },
            0.25,
            "TIFF resolution tags",
        ),
        ({"openslide.mpp-x": "nan", "openslide.mpp-y": "0.25", "aperio.MPP": "0.3"}, 0.3, "aperio"),
    ],
)
def test_every_usual_key_of_a_slide_is_read(about: dict[str, str], mpp: float, source: str) -> None:
    (scale, *_) = _told_scales(about)
    assert scale.mpp == pytest.approx(mpp)
    assert scale.source.startswith(source)


def test_every_format_tells_its_scale(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    rgb = tissue[:300, :400]
    wanted = {
        write_aperio(tmp_path / "a.svs", rgb, mpp=0.263): ("openslide.mpp", "aperio", 40.0),
        write_tiled_tiff(tmp_path / "t.tif", rgb, mpp=0.263): (
            "TIFF resolution tags",
            "TIFF",
            None,
        ),
        write_ome_tiff(tmp_path / "o.tif", rgb, mpp=0.263): ("OME metadata", "OME-TIFF", None),
        write_ome_zarr(tmp_path / "z.zarr", rgb, mpp=0.263): (
            "OME-Zarr metadata",
            "OME-Zarr",
            None,
        ),
    }
    for path, (source, vendor, power) in wanted.items():
        with open_slide(path) as slide:
            assert slide.mpp == pytest.approx(0.263, rel=1e-5)
            assert (slide.mpp_source, slide.vendor) == (source, vendor)
            assert slide.objective_power == power
            assert slide.streams
            assert slide.levels[1].mpp == pytest.approx(0.263 * (4 if power else 2), rel=1e-5)


def test_a_slide_with_an_objective_only(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    path = write_aperio(tmp_path / "a.svs", tissue[:300, :400], mpp=None, power=20)
    with open_slide(path) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.5, "objective power 20")
        assert len(slide.warnings) == 1


def test_an_objective_is_read_from_a_tiff_that_is_decoded_whole(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, tissue[:64, :64], metadata=None, description="Scan|AppMag = 20")
    with open_slide(path) as slide:
        assert (slide.mpp, slide.objective_power) == (0.5, 20.0)
        assert "objective" in slide.warnings[0]


@pytest.mark.parametrize(
    ("told", "mpp"), [("MPP = .2525", 0.2525), ("MPP=2.5e-1", 0.25), ("MPP = 0.5|Left = 3", 0.5)]
)
def test_numbers_of_a_description_are_read_in_every_spelling(
    tmp_path: Path, tissue: NDArray[np.uint8], told: str, mpp: float
) -> None:
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, tissue[:64, :64], metadata=None, description=f"Scan|{told}")
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(mpp)


def test_sides_of_a_pixel_may_differ_by_3_percent_and_no_more() -> None:
    settle_scale("t", None, [Scale(0.25, 0.2426, "x")])
    for told in (Scale(0.25, 0.2424, "x"), Scale(0.2424, 0.25, "x")):
        with pytest.raises(ResolutionError, match="square pixels, within 3%"):
            settle_scale("t", None, [told])

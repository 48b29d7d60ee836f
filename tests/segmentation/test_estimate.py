from pathlib import Path

import imageio.v3
import numpy as np
import pytest
from numpy.typing import NDArray

import nuguide
from fixtures.slides import write_tiled_tiff
from nuguide.errors import ResolutionError
from nuguide.models.model import Model
from nuguide.segmentation import estimate
from nuguide.segmentation.estimate import (
    MIN_NUCLEI,
    SOURCE,
    TYPICAL_UM,
    Look,
    consistent_mpp,
    estimate_scale,
    find_places,
    look,
    open_scaled,
)
from nuguide.slides.reader import from_array


def looks_at(true_mpp: float, *, bend: float = 1.0, count: int = 100) -> list[Look]:
    """Return what a model sees that is surest at the true scale; sizes go by a power of it."""
    return [
        Look(
            mpp,
            np.full(count, TYPICAL_UM * (mpp / true_mpp) ** bend),
            np.full(count, 0.9 - 0.05 * np.log(mpp / true_mpp) ** 2),
        )
        for mpp in estimate.ASSUMED_MPP
    ]


@pytest.mark.parametrize("true_mpp", [0.16, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("bend", [1.0, 0.4])
def test_the_scale_between_those_tried_is_found(true_mpp: float, bend: float) -> None:
    found = consistent_mpp(looks_at(true_mpp, bend=bend))
    assert found == pytest.approx(true_mpp, rel=0.06)


def test_size_decides_where_confidence_is_level() -> None:
    level = [Look(one.mpp, one.diameters_um, np.full(100, 0.8)) for one in looks_at(0.4)]
    assert consistent_mpp(level) == pytest.approx(0.4, rel=0.06)


def test_confidence_decides_where_size_is_level() -> None:
    level = [Look(one.mpp, np.full(100, 9.0), one.confidences) for one in looks_at(0.4)]
    assert consistent_mpp(level) == pytest.approx(0.4, rel=0.06)


def test_a_few_nuclei_say_nothing() -> None:
    wrong = [Look(0.1, np.full(MIN_NUCLEI - 1, TYPICAL_UM), np.full(MIN_NUCLEI - 1, 1.0))]
    assert consistent_mpp(wrong + looks_at(0.4)[1:]) == consistent_mpp(looks_at(0.4))
    assert consistent_mpp(looks_at(0.4, count=MIN_NUCLEI - 1)) is None
    assert consistent_mpp([]) is None


def test_a_look_measures_nuclei_in_um_of_the_assumed_scale(
    model: Model, tissue: NDArray[np.uint8]
) -> None:
    slide = from_array(tissue, 0.25)
    for mpp in (0.2, 0.4):
        seen = look(slide, [(0.5, 0.5)], mpp, model)
        # Dark to 12 px around their middles.
        assert len(seen.diameters_um) == 96
        assert np.median(seen.diameters_um) == pytest.approx(23.0 * mpp, rel=0.06)
        assert (seen.confidences > 0.9).all()


def test_nuclei_cut_by_a_field_are_not_measured(model: Model, tissue: NDArray[np.uint8]) -> None:
    cut = tissue[25:-25, 25:-25]
    seen = look(from_array(cut, 0.25), [(0.5, 0.5)], 0.5, model)
    assert seen.diameters_um.min() > 0.8 * seen.diameters_um.max()


def test_fields_are_where_most_nuclei_are(tissue: NDArray[np.uint8]) -> None:
    glass = np.full((3000, 4000, 3), 243, np.uint8)
    glass[2000:2800, 400:1600] = np.tile(tissue, (2, 2, 1))
    places = find_places(from_array(glass, 0.25))
    assert len(places) == estimate.FIELDS
    for y, x in places:
        assert 1900 < 3000 * y < 2900
        assert 300 < 4000 * x < 1700
    (top, left), (bottom, right) = places
    assert max(3000 * abs(top - bottom), 4000 * abs(left - right)) > 300


def test_glass_has_no_scale(model: Model) -> None:
    glass = from_array(np.full((600, 600, 3), 243, np.uint8), 0.25, "glass")
    with pytest.raises(ResolutionError, match=r"glass shows too few nuclei.*expected.*--mpp"):
        estimate_scale(glass, model)


@pytest.fixture
def shrunk_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image look as if it had 0.31 um/px."""
    by_mpp = {one.mpp: one for one in looks_at(0.31)}
    monkeypatch.setattr(estimate, "look", lambda slide, places, mpp, model: by_mpp[mpp])


@pytest.mark.usefixtures("shrunk_looks")
def test_what_a_file_tells_is_not_estimated(
    tmp_path: Path, tissue: NDArray[np.uint8], model: Model
) -> None:
    told = write_tiled_tiff(tmp_path / "told.tif", tissue, mpp=0.25)
    with open_scaled(told, "estimate", model) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.25, "TIFF resolution tags")
    imageio.v3.imwrite(tmp_path / "untold.png", tissue)
    with open_scaled(tmp_path / "untold.png", "estimate", model) as slide:
        assert slide.mpp == pytest.approx(0.31, abs=0.011)
        assert slide.mpp_source == SOURCE == "estimate from nucleus size"
        assert "estimated from the size of its nuclei" in slide.warnings[0]
    with pytest.raises(ResolutionError, match="--mpp estimate"):
        open_scaled(tmp_path / "untold.png", None, model)


@pytest.mark.usefixtures("shrunk_looks")
def test_an_estimate_is_marked_wherever_it_goes(
    tmp_path: Path, tissue: NDArray[np.uint8], model: Model
) -> None:
    picture = tmp_path / "untold.png"
    imageio.v3.imwrite(picture, tissue)
    run = nuguide.segment(picture, "estimate", model=model, out=tmp_path / "out")
    assert run.mpp_source == SOURCE
    assert "estimated from the size" in run.record["found"]["warnings"][0]
    assert "estimated from the size" in (run.folder / "report.html").read_text()
    for image in (picture, tissue):
        result = nuguide.segment(image, "estimate", model=model)
        assert (result.slide.mpp, result.slide.mpp_source) == (run.mpp, SOURCE)
        assert result.slide.warnings


def test_an_image_too_coarse_for_the_model_is_refused(
    tmp_path: Path, picture: Path, tissue: NDArray[np.uint8], model: Model
) -> None:
    with pytest.raises(ResolutionError, match="10 looks like an objective"):
        nuguide.segment(picture, 10, model=model, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ResolutionError, match="expected 2 um/px or finer"):
        nuguide.segment(tissue, 2.5, model=model)


def test_a_coarse_image_is_segmented_with_a_warning(
    tmp_path: Path, tissue: NDArray[np.uint8], model: Model
) -> None:
    part = tissue[:64, :64]
    imageio.v3.imwrite(tmp_path / "part.png", part)
    run = nuguide.segment(tmp_path / "part.png", 1.5, model=model, out=tmp_path / "out")
    result = nuguide.segment(part, 1.5, model=model)
    for warnings in (run.record["found"]["warnings"], result.slide.warnings):
        (warning,) = warnings
        assert "1.5 um/px" in warning


def test_real_tissue_is_estimated_within_a_factor_of_1_4(shared: Path) -> None:
    image = shared / "data/monuseg2018/images/TCGA-18-5592-01Z-00-DX1.png"
    rgb = imageio.v3.imread(image)[:600, :600, :3]
    scale = estimate_scale(from_array(rgb, 1.0), nuguide.load("default"))
    assert 0.25 / 1.4 < scale.mpp < 0.25 * 1.4

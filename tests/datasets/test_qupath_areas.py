"""Images of which QuPath tells the annotated areas, and whole slides, which have nothing else."""

from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import feature, pixel_edges, rings_of, write_geojson, write_picture
from fixtures.slides import write_aperio, write_ome_zarr, write_tiled_tiff
from fixtures.tissue import draw_tissue
from nuguide.datasets.check import check
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.datasets.qupath_samples import MARGIN_UM
from nuguide.datasets.splits import select
from nuguide.errors import DataSetError, ResolutionError

MPP, HEIGHT, WIDTH = 0.5, 700, 900
AREAS = {"upper": (60, 500, 200, 260), "lower": (430, 120, 150, 220)}
"""Top, left, height and width of two annotated areas, px."""


def rectangle(top: int, left: int, height: int, width: int) -> list[list[float]]:
    right, bottom = left + width, top + height
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


@pytest.fixture(scope="module")
def tissue():
    return draw_tissue(HEIGHT, WIDTH, mpp=MPP, per_mm2=3000, seed=3)


@pytest.fixture(scope="module")
def nuclei(tissue) -> list[dict]:
    """Every nucleus of the tissue as QuPath would export it."""
    return [feature([pixel_edges(ring)], "Nucleus") for ring in rings_of(tissue[1])]


def areas(*names: str) -> list[dict]:
    return [feature([rectangle(*AREAS[name])], "Region*") for name in names]


@pytest.fixture
def slide(tissue, nuclei, tmp_path: Path) -> Path:
    """Write a slide with two annotated areas, the lower one first in its file."""
    write_tiled_tiff(tmp_path / "s.tif", tissue[0], mpp=MPP, compression="deflate")
    write_geojson(tmp_path / "s.geojson.gz", [*areas("lower", "upper"), *nuclei])
    return tmp_path


def window(area: tuple[int, int, int, int]) -> tuple[slice, slice]:
    """Return what is shown of an area: itself and its margin."""
    top, left, height, width = area
    margin = round(MARGIN_UM / MPP)
    return (
        slice(max(0, top - margin), min(HEIGHT, top + height + margin)),
        slice(max(0, left - margin), min(WIDTH, left + width + margin)),
    )


def assert_same_nuclei(found: np.ndarray, truth: np.ndarray) -> None:
    """Compare nucleus by nucleus; at its border a pixel here and there may differ."""
    assert np.mean((found > 0) != (truth > 0)) < 1e-3
    for number in np.unique(found)[1:]:
        _, counts = np.unique(truth[found == number], return_counts=True)
        assert counts.max() > 0.9 * counts.sum()


def test_each_annotated_area_of_a_slide_is_a_sample(slide: Path, tissue):
    """From the top down; its pixels, its nuclei, and nothing known around it."""
    samples = list(open_dataset(slide))
    assert [sample.name for sample in samples] == ["s-1", "s-2"]
    for sample, (top, left, height, width) in zip(samples, AREAS.values(), strict=True):
        rows, columns = window((top, left, height, width))
        np.testing.assert_array_equal(sample.image, tissue[0][rows, columns])
        assert_same_nuclei(sample.labels, tissue[1][rows, columns])
        known = np.zeros((HEIGHT, WIDTH), bool)
        known[top : top + height, left : left + width] = True
        np.testing.assert_array_equal(sample.ignore, ~known[rows, columns])
        assert (sample.mpp, sample.source, sample.mpp_estimated) == (MPP, "s", False)
        assert sample.types is None, "a nucleus of no type has none"


def test_areas_of_one_slide_stay_on_one_side(slide: Path):
    for name in ("t", "u", "v"):
        for ending in ("tif", "geojson.gz"):
            (slide / f"{name}.{ending}").write_bytes((slide / f"s.{ending}").read_bytes())
    data = recognise(slide)
    assert len(data.entries) == 8
    fit, validation = (
        {entry.source for entry in select(data, part)} for part in ("fit", "validation")
    )
    assert fit
    assert validation
    assert not fit & validation


@pytest.mark.parametrize("kind", ["svs", "zarr"])
def test_slides_of_other_formats_are_read(kind: str, tissue, nuclei, tmp_path: Path):
    if kind == "svs":
        write_aperio(tmp_path / "s.svs", tissue[0], mpp=MPP, power=20)
    else:
        write_ome_zarr(tmp_path / "s.zarr", tissue[0], mpp=MPP)
    write_geojson(tmp_path / "s.geojson", [*areas("upper"), *nuclei])
    (sample,) = open_dataset(tmp_path)
    rows, columns = window(AREAS["upper"])
    apart = sample.image.astype(int) - tissue[0][rows, columns]
    assert np.abs(apart).mean() < 4
    assert (sample.name, sample.mpp) == ("s", pytest.approx(MPP))


def test_a_slide_is_of_the_scale_that_is_stated(slide: Path):
    assert {sample.mpp for sample in open_dataset(slide, mpp=0.25)} == {0.25}
    (slide / "index.csv").write_text("name,mpp,patient\ns.tif,0.3,P7\n")
    assert {(s.mpp, s.patient) for s in open_dataset(slide)} == {(0.3, "P7")}


def test_a_slide_without_an_annotated_area_is_told(slide: Path, nuclei):
    write_geojson(slide / "s.geojson.gz", nuclei)
    (finding,) = recognise(slide).findings
    assert (finding.severity, finding.file) == ("error", "s.tif")
    with pytest.raises(DataSetError, match=r"s\.tif has no area of the class Region\*"):
        open_dataset(slide)


def test_a_slide_that_tells_no_scale_is_refused(tissue, nuclei, tmp_path: Path):
    write_aperio(tmp_path / "s.svs", tissue[0], mpp=None, power=None)
    write_geojson(tmp_path / "s.geojson", [*areas("upper"), *nuclei])
    with pytest.raises((DataSetError, ResolutionError), match="--mpp"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, mpp=MPP)[0].mpp == MPP


def test_an_objective_s_power_is_an_estimate(tissue, nuclei, tmp_path: Path):
    write_aperio(tmp_path / "s.svs", tissue[0], mpp=None, power=20)
    write_geojson(tmp_path / "s.geojson", [*areas("upper"), *nuclei])
    (sample,) = open_dataset(tmp_path)
    assert (sample.mpp, sample.mpp_estimated) == (0.5, True)


def test_a_damaged_slide_is_one_clear_line(slide: Path):
    (slide / "s.svs").write_bytes(b"no slide")
    (slide / "s.tif").unlink()
    with pytest.raises(DataSetError, match=r"s\.svs is not an image") as error:
        open_dataset(slide)
    assert "\n" not in str(error.value)


def test_an_area_outside_the_slide_is_told(slide: Path, nuclei):
    far = feature([rectangle(5000, 100, 50, 50)], "Region*")
    write_geojson(slide / "s.geojson.gz", [far, *nuclei])
    with pytest.raises(DataSetError, match=r"lies outside s\.tif, which has 900 x 700 px"):
        open_dataset(slide)[0]


def test_a_point_that_is_no_number_is_refused(slide: Path):
    area = areas("upper")[0]
    area["geometry"]["coordinates"][0][1][0] = float("nan")
    write_geojson(slide / "s.geojson.gz", [area])
    with pytest.raises(DataSetError, match="a point is no finite number"):
        open_dataset(slide)


def test_of_a_picture_each_annotated_area_is_a_sample_too(tissue, nuclei, tmp_path: Path):
    """Far from an area nothing is shown; types are numbered as in any other set."""
    rgb, labels = tissue
    typed = [feature(each["geometry"]["coordinates"], "Tumor") for each in nuclei]
    write_picture(tmp_path / "images" / "p.png", rgb)
    write_geojson(tmp_path / "annotations" / "p.geojson", [*typed, *areas("lower")])
    (sample,) = open_dataset(tmp_path, mpp=MPP)
    rows, columns = window(AREAS["lower"])
    np.testing.assert_array_equal(sample.image, rgb[rows, columns])
    assert_same_nuclei(sample.labels, labels[rows, columns])
    np.testing.assert_array_equal(sample.types, sample.labels > 0)
    assert (sample.name, sample.source) == ("p", "")


def test_several_areas_of_a_picture_are_of_one_source(tissue, nuclei, tmp_path: Path):
    """So they stay on one side, as those of a slide do."""
    write_picture(tmp_path / "images" / "p.png", tissue[0])
    write_geojson(tmp_path / "annotations" / "p.geojson", [*nuclei, *areas("lower", "upper")])
    samples = list(open_dataset(tmp_path, mpp=MPP))
    assert [(sample.name, sample.source) for sample in samples] == [("p-1", "p"), ("p-2", "p")]


def test_data_check_counts_the_areas(slide: Path):
    report = check(recognise(slide))
    assert report.usable
    assert [facts.name for facts in report.images] == ["s-1", "s-2"]
    assert all(0.3 < facts.ignored < 0.8 for facts in report.images)

"""Slides that stay on disk: read, joined and written piece by piece, like images in memory."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from fixtures.dark_model import dark_model
from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue
from nuguide.errors import InputError, OutputError
from nuguide.export.label_pyramid import NUCLEI
from nuguide.models.model import Model
from nuguide.segmentation import joining, outputs
from nuguide.segmentation.area import Where
from nuguide.segmentation.batch import Batch, Ended, State
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.job import Job, Settings, begin
from nuguide.segmentation.outputs import Outputs
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.result import Run
from nuguide.segmentation.run import segment, segment_slide
from nuguide.slides.reader import Slide, from_array

MPP = 0.5
CUT = Cut(224, 64)


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """768 x 1280 px: tissue on the left and in the middle, glass on the right."""
    rgb, _ = draw_tissue(768, 1280, mpp=MPP, per_mm2=2500, seed=3)
    rgb[:, 800:] = 243
    return rgb


@pytest.fixture(scope="module")
def slide(pixels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    return write_tiled_tiff(path, pixels, mpp=MPP, compression="zlib")


class ElsewhereEngine(LocalEngine):
    """Says that it leaves this process's cores alone, as one on a GPU does."""

    elsewhere = True


def run(
    model: Model,
    image: Path,
    folder: Path,
    settings: Settings | None = None,
    engine: type[LocalEngine] = LocalEngine,
) -> Ended:
    settings = settings or Settings(cut=CUT)
    batch = Batch(
        [(image, folder)],
        lambda image, folder: begin(image, folder, model, settings),
        engine(model),
    )
    (ended,) = batch.run()
    return ended


def found(ended: Ended) -> Run:
    assert isinstance(ended.outcome, Run), ended.outcome
    return ended.outcome


@pytest.fixture(scope="module")
def tissue_run(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the slide's run, cut by ``CUT``, where tissue was found."""
    return found(run(dark_model(), slide, tmp_path_factory.mktemp("run")))


def test_a_slide_on_disk_gives_what_the_same_pixels_in_memory_give(
    model: Model, pixels: NDArray[np.uint8], slide: Path, tmp_path: Path
) -> None:
    in_memory = segment_slide(from_array(pixels, MPP), model, cut=CUT)
    settings = Settings(where=Where(tissue=False), cut=CUT)
    on_disk = found(run(model, slide, tmp_path, settings))
    assert on_disk.count == in_memory.nuclei.num_rows > 100
    table = on_disk.nuclei.to_table()
    assert table.drop_columns(["id"]).equals(in_memory.nuclei.drop_columns(["id"]))
    labels = zarr.open_array(tmp_path / "labels.ome.zarr" / NUCLEI / "0", mode="r")[:]
    assert (labels == in_memory.labels).all()
    names = {path.name for path in tmp_path.iterdir()}
    assert {"nuclei.geojson.gz", "nuclei.parquet", "labels.ome.zarr", "run.toml"} <= names
    assert not {"fragments", "ledger.sqlite"} & names


def test_regions_without_tissue_are_not_read(
    model: Model, slide: Path, tissue_run: Run, tmp_path: Path
) -> None:
    whole = found(
        run(model, slide, tmp_path / "whole", Settings(where=Where(tissue=False), cut=CUT))
    )
    seen = [set(each.nuclei.to_table()["id"].to_pylist()) for each in (whole, tissue_run)]
    assert seen[0] == seen[1]
    regions = set(tissue_run.nuclei.to_table()["region"].to_pylist())
    assert max(region % 6 for region in regions) == 3  # of six columns four have tissue
    assert tissue_run.record["configuration"]["regions"]["area"] == "tissue"


def test_the_result_does_not_depend_on_how_the_slide_is_cut(
    model: Model, slide: Path, tissue_run: Run, tmp_path: Path
) -> None:
    other = found(run(model, slide, tmp_path, Settings(cut=Cut(288, 64, 96))))
    ids = [set(each.nuclei.to_table()["id"].to_pylist()) for each in (tissue_run, other)]
    assert max(len(ids[0] - ids[1]), len(ids[1] - ids[0])) <= 0.005 * len(ids[0])


def test_a_slide_is_not_read_finer_than_it_is_drawn(
    model: Model, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, ...]] = []
    monkeypatch.setattr(outputs, "PANEL_PX", 64)
    for name in ("write_overview", "write_tissue"):
        monkeypatch.setattr(outputs, name, lambda rgb, *_: drawn.append(rgb.shape))
    found(run(model, slide, tmp_path))
    assert drawn == [(38, 64, 3)] * 2


def test_only_nuclei_inside_the_region_of_interest(
    model: Model, slide: Path, tmp_path: Path
) -> None:
    roi = tmp_path / "roi.geojson"
    corners = [[200, 100], [600, 100], [600, 500], [200, 500], [200, 100]]
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    inside = found(run(model, slide, tmp_path / "out", Settings(where=Where(roi=roi), cut=CUT)))
    x, y = (inside.nuclei.to_table()[f"centroid_{axis}_px"].to_numpy() for axis in "xy")
    assert len(x) > 20
    assert 200 <= x.min() < 250 < 550 < x.max() <= 600
    assert 100 <= y.min() < 150 < 450 < y.max() <= 500
    # Less is read, and the nuclei are those of the whole slide that lie inside.
    whole = found(run(model, slide, tmp_path / "whole", Settings(cut=CUT))).nuclei.to_table()
    x, y = (whole[f"centroid_{axis}_px"].to_numpy() for axis in "xy")
    there = (x >= 200) & (x <= 600) & (y >= 100) & (y <= 500)
    ids = set(inside.nuclei.to_table()["id"].to_pylist())
    assert ids == set(whole["id"].to_numpy()[there])


def test_a_region_of_interest_that_is_all_of_an_image_takes_nothing_away(
    model: Model, pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    """Of images whose size is no whole number of the mask's pixels, too."""
    image, roi = tmp_path / "image.png", tmp_path / "roi.geojson"
    height, width = 380, 399
    cv2.imwrite(str(image), pixels[:height, :width, ::-1])
    corners = [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    roi.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    runs = [
        found(run(model, image, tmp_path / name, Settings(mpp=0.25, where=where)))
        for name, where in (("whole", Where()), ("roi", Where(roi=roi)))
    ]
    ids = [set(each.nuclei.to_table()["id"].to_pylist()) for each in runs]
    assert ids[0] == ids[1]
    assert (
        runs[0].area_mm2 == runs[1].area_mm2 == pytest.approx(380 * 399 * 0.25**2 / 1e6, abs=1e-6)
    )


def test_no_tissue_is_no_error_and_says_why(model: Model, tmp_path: Path) -> None:
    rgb = np.full((600, 600, 3), 243, np.uint8)
    glass = write_tiled_tiff(tmp_path / "glass.tif", rgb, mpp=MPP, compression="zlib")
    empty = found(run(model, glass, tmp_path / "out"))
    assert empty.count == 0
    assert "no tissue" in empty.reason
    assert "--no-tissue" in empty.reason
    assert empty.nuclei.to_table().num_rows == 0
    labels = zarr.open_array(tmp_path / "out" / "labels.ome.zarr" / NUCLEI / "0", mode="r")
    assert not labels[:].any()


def test_labels_may_be_left_out(model: Model, slide: Path, tmp_path: Path) -> None:
    settings = Settings(cut=CUT, outputs=Outputs("none", csv=True))
    run(model, slide, tmp_path, settings)
    names = {path.name for path in tmp_path.iterdir()}
    assert not {"labels.ome.zarr", "labels.tif"} & names
    assert len((tmp_path / "nuclei.csv").read_text().splitlines()) > 100


def test_another_area_in_the_same_folder_is_refused(
    model: Model, slide: Path, tissue_run: Run
) -> None:
    ended = run(model, slide, tissue_run.folder, Settings(where=Where(tissue=False), cut=CUT))
    assert "regions.area: there 'tissue', here 'whole image'" in str(ended.outcome)


def test_python_asks_for_a_folder_for_a_whole_slide(
    model: Model, slide: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match='out="out"'):
        segment(slide, model=model)


def test_a_slide_that_cannot_be_read_on_does_not_stop_the_others(
    model: Model, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanishing = tmp_path / "vanishing.tif"
    vanishing.write_bytes(slide.read_bytes())
    settings = Settings(cut=CUT)

    def read_at(self: Slide, *box: Any) -> NDArray[np.uint8]:
        if self.path == vanishing:
            calls.append(1)
            if len(calls) > 5:
                raise InputError("vanishing.tif has gone; expected it to stay; copy it again")
        return genuine(self, *box)

    calls: list[int] = []
    genuine = Slide.read_at
    pairs = [(vanishing, tmp_path / "a"), (slide, tmp_path / "b")]
    batch = Batch(
        pairs, lambda image, folder: begin(image, folder, model, settings), LocalEngine(model)
    )
    monkeypatch.setattr(Slide, "read_at", read_at)
    first, second = batch.run()
    assert (first.image, second.image) == (vanishing, slide)
    assert "has gone" in str(first.outcome)
    assert found(second).count > 100
    monkeypatch.undo()
    again = found(run(model, vanishing, tmp_path / "a"))
    assert (
        again.nuclei.to_table()["id"].to_pylist()
        == found(second).nuclei.to_table()["id"].to_pylist()
    )


def test_a_run_that_is_stopped_leaves_nothing_half_written(slide: Path, tmp_path: Path) -> None:
    """Tables and labels are written while regions are computed: Ctrl-C clears them away."""
    told: list[int] = []

    def stop(state: State) -> None:
        told.append(state.done)
        if state.done == 3:
            raise KeyboardInterrupt

    model = dark_model()
    batch = Batch(
        [(slide, tmp_path / "out")],
        lambda image, folder: begin(image, folder, model, Settings(cut=CUT)),
        ElsewhereEngine(model),
        stop,
    )
    with pytest.raises(KeyboardInterrupt):
        list(batch.run())
    assert told == [0, 1, 2, 3]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"fragments", "ledger.sqlite"}


def test_a_table_that_cannot_be_written_ends_its_image_with_one_line(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(pieces: object, path: Path, *_: object) -> None:
        raise OutputError(f"{path} cannot be written (No space left on device)")

    monkeypatch.setattr(outputs, "write_geojson", full)
    ended = run(dark_model(), slide, tmp_path / "out", engine=ElsewhereEngine)
    assert isinstance(ended.outcome, OutputError)
    assert "nuclei.geojson.gz cannot be written (No space" in str(ended.outcome)
    assert not list((tmp_path / "out").glob("*.part"))
    assert not (tmp_path / "out" / "nuclei.parquet").exists()
    monkeypatch.undo()
    assert found(run(dark_model(), slide, tmp_path / "out")).count


def test_a_slide_is_the_same_wherever_its_regions_are_computed(slide: Path, tmp_path: Path) -> None:
    """Joined while they are computed, or at the end: on this process's own cores."""
    for name, engine in (("here", LocalEngine), ("there", ElsewhereEngine)):
        assert found(run(dark_model(), slide, tmp_path / name, engine=engine)).count
    for name in ("nuclei.parquet", "nuclei.geojson.gz"):
        here, there = (tmp_path / place / name for place in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()


@pytest.mark.parametrize(("engine", "joined"), [(LocalEngine, False), (ElsewhereEngine, True)])
def test_a_slide_on_these_cores_is_joined_at_its_end(
    slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: type[LocalEngine],
    joined: bool,
) -> None:
    seen: list[int] = []
    begun = joining.join

    def watched(fragments: Any, *others: Any) -> Any:
        seen.append(0)
        return begun(fragments, *others)

    monkeypatch.setattr("nuguide.segmentation.job.join", watched)
    finish = Job.finish
    monkeypatch.setattr(Job, "finish", lambda job: (seen.append(1), finish(job))[1])
    found(run(dark_model(), slide, tmp_path / "out", engine=engine))
    assert sorted(seen) == [0, 1]
    if not joined:
        assert seen == [1, 0]

"""A finished run that is asked for again: nothing is computed that lies there already."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from torch import Tensor

from fixtures.dark_model import DarkIsNucleus, dark_model
from fixtures.slides import write_tiled_tiff
from nuguide.errors import NuguideError, OutputError
from nuguide.export.label_pyramid import NUCLEI
from nuguide.export.table import write_table
from nuguide.segmentation import outputs
from nuguide.segmentation.batch import Batch
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.ledger import Ledger
from nuguide.segmentation.outputs import Labels, Outputs
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.record import read_record
from nuguide.segmentation.result import Run

MPP = 0.5
PICTURE_FILES = ["nuclei.geojson.gz", "nuclei.csv", "overlay.png", "report.html"]
SLIDE_FILES = ["nuclei.geojson.gz", "nuclei.csv", "overview.png", "tissue.png", "report.html"]


@pytest.fixture(scope="module")
def slide(crowd: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    return write_tiled_tiff(path, crowd, mpp=MPP, compression="zlib")


@pytest.fixture(scope="module")
def picture(crowd: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.tif"
    tifffile.imwrite(path, crowd)
    return path


def ended(pairs: list[tuple[Path, Path]], wanted: Outputs) -> list[Run | NuguideError]:
    """Segment images, each cut into a dozen regions; most nuclei touch others."""
    model, settings = dark_model(), Settings(MPP, cut=Cut(160, 32), outputs=wanted)
    batch = Batch(
        pairs, lambda image, folder: begin(image, folder, model, settings), LocalEngine(model)
    )
    return [each.outcome for each in batch.run()]


def run(image: Path, folder: Path, labels: Labels = "auto", *, csv: bool = False) -> Run:
    (outcome,) = ended([(image, folder)], Outputs(labels, csv))
    if isinstance(outcome, NuguideError):
        raise outcome
    return outcome


@pytest.fixture(scope="module")
def finished(
    slide: Path, picture: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path]]:
    """Return image and run folder of a slide and of a picture; all that can be was asked for."""
    pairs = {}
    for image in (slide, picture):
        folder = tmp_path_factory.mktemp("runs") / image.stem
        for labels in ("zarr", "tiff"):
            run(image, folder / labels, labels, csv=True)
        assert read_record(folder / "tiff")["found"]["nuclei"] > 350
        pairs[image.stem] = image, folder
    return pairs


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: DarkIsNucleus, image: Tensor, tokens: Tensor | None = None) -> None:
        pytest.fail("the network ran")

    monkeypatch.setattr(DarkIsNucleus, "forward", forward)


def files_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def labels_in(folder: Path) -> list[NDArray[np.int32]]:
    """Read every label map that lies in a run folder."""
    found = [tifffile.imread(path) for path in folder.glob("labels.tif")]
    return found + [
        np.asarray(zarr.open_array(path / NUCLEI / "0", mode="r")[:])
        for path in folder.glob("labels.ome.zarr")
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("picture", name) for name in PICTURE_FILES] + [("slide", name) for name in SLIDE_FILES],
)
@pytest.mark.usefixtures("no_network")
def test_a_file_that_is_missing_is_made_of_the_nuclei(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path, kind: str, name: str
) -> None:
    image, runs = finished[kind]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    before = files_of(folder)
    (folder / name).unlink()
    again = run(image, folder, "tiff", csv=True)
    assert (again.resumed, again.made, again.why_again) == (True, (name,), "")
    assert files_of(folder) == before


@pytest.mark.parametrize("kind", ["picture", "slide"])
@pytest.mark.usefixtures("no_network")
def test_all_at_once_and_nothing_more(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path, kind: str
) -> None:
    image, runs = finished[kind]
    folder = Path(shutil.copytree(runs / "zarr", tmp_path / "run"))
    before = files_of(folder)
    lost = SLIDE_FILES if kind == "slide" else PICTURE_FILES
    for name in lost:
        (folder / name).unlink()
    assert set(run(image, folder, "zarr").made) == {*lost} - {"nuclei.csv"}
    assert not (folder / "nuclei.csv").exists()
    assert run(image, folder, "zarr", csv=True).made == ("nuclei.csv",)
    assert run(image, folder, "none").made == ()  # what is not asked for stays
    assert files_of(folder) == before


@pytest.mark.parametrize("kind", ["picture", "slide"])
@pytest.mark.parametrize(("there", "asked"), [("zarr", "tiff"), ("tiff", "zarr")])
@pytest.mark.usefixtures("no_network")
def test_labels_in_another_form_are_those_of_a_full_run_to_the_pixel(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path, kind: str, there: Labels, asked: Labels
) -> None:
    image, runs = finished[kind]
    folder = Path(shutil.copytree(runs / there, tmp_path / "run"))
    again = run(image, folder, asked)
    assert again.made == ("labels.tif" if asked == "tiff" else "labels.ome.zarr",)
    one, other = labels_in(folder)
    (full,) = labels_in(runs / asked)
    assert full.max() == again.count
    assert (one == full).all()
    assert (other == full).all()
    before, expected = files_of(folder), files_of(runs / there)
    assert {name: before[name] for name in expected} == expected


def test_the_labels_of_a_slide_are_written_in_no_other_form_than_asked(
    finished: dict[str, tuple[Path, Path]],
) -> None:
    _, runs = finished["slide"]
    assert not (runs / "tiff" / "labels.ome.zarr").exists()
    assert not (runs / "zarr" / "labels.tif").exists()
    (one,), (other,) = labels_in(runs / "tiff"), labels_in(runs / "zarr")
    assert (one == other).all()


def test_without_any_label_map_labels_are_segmented_again_and_it_is_said(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["slide"]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    (folder / "labels.tif").unlink()
    assert run(image, folder, "none").resumed
    again = run(image, folder, "zarr")
    assert not again.resumed
    assert "labels.ome.zarr is missing" in again.why_again
    assert "--labels none" in again.why_again
    (labels,), (full,) = labels_in(folder), labels_in(runs / "tiff")
    assert (labels == full).all()
    assert (folder / "nuclei.csv").exists()


def test_a_label_map_that_is_not_whole_is_no_source(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["slide"]
    folder = Path(shutil.copytree(runs / "zarr", tmp_path / "run"))
    shutil.rmtree(folder / "labels.ome.zarr" / NUCLEI / "0" / "0")  # reads as background now
    again = run(image, folder, "tiff")
    assert again.why_again == "labels.tif is missing, and labels.ome.zarr is not whole"
    assert (tifffile.imread(folder / "labels.tif") == labels_in(runs / "tiff")[0]).all()
    assert (folder / "labels.ome.zarr").exists()  # not asked for, so not touched


def test_a_table_that_was_cut_short_is_no_finished_run(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["picture"]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    before = (folder / "nuclei.parquet").read_bytes()
    (folder / "nuclei.parquet").write_bytes(before[:-100])
    again = run(image, folder)
    assert not again.resumed
    assert again.why_again.startswith("nuclei.parquet cannot be read (")
    assert (folder / "nuclei.parquet").read_bytes() == before
    assert run(image, folder).resumed


def test_a_table_of_other_nuclei_is_no_finished_run(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["picture"]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    nuclei = pq.read_table(folder / "nuclei.parquet")
    write_table([nuclei.slice(1)], folder / "nuclei.parquet")
    assert "nuclei where" in run(image, folder).why_again
    (folder / "nuclei.parquet").unlink()
    assert run(image, folder).why_again == "nuclei.parquet is missing"
    assert pq.read_table(folder / "nuclei.parquet").equals(nuclei)


def test_nothing_is_made_of_a_table_with_a_changed_byte(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["picture"]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    content = bytearray(before := (folder / "nuclei.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "nuclei.parquet").write_bytes(content)
    (folder / "nuclei.csv").unlink()
    again = run(image, folder, csv=True)
    assert "cannot be read" in again.why_again
    assert (folder / "nuclei.parquet").read_bytes() == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OutputError])
def test_what_is_stopped_in_the_middle_goes_on(
    finished: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
) -> None:
    image, runs = finished["slide"]
    folder = Path(shutil.copytree(runs / "zarr", tmp_path / "run"))
    before = files_of(folder)
    (folder / "nuclei.csv").unlink()
    (folder / "overview.png").unlink()
    (folder / ".nuclei.csv.0.part").write_text("of one that was killed")

    def stopped(*_: object) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_csv", stopped)
        with pytest.raises(stop):
            run(image, folder, "zarr", csv=True)
    assert (folder / "run.toml").exists()  # all that lies there is whole
    assert not (folder / "nuclei.csv").exists()
    assert run(image, folder, "zarr", csv=True).made == ("nuclei.csv",)
    assert files_of(folder) == before


def test_one_at_a_time_writes_to_a_finished_run(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    image, runs = finished["picture"]
    folder = Path(shutil.copytree(runs / "tiff", tmp_path / "run"))
    (folder / "nuclei.csv").unlink()
    configuration = read_record(folder)["configuration"]
    with (
        Ledger(folder, configuration),
        pytest.raises(OutputError, match="being written by another run"),
    ):
        run(image, folder, "tiff", csv=True)
    assert run(image, folder, "tiff", csv=True).made == ("nuclei.csv",)


def test_each_image_of_several_gets_what_it_lacks(
    finished: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    pairs = []
    for kind, lost in (("picture", "overlay.png"), ("slide", "nuclei.parquet")):
        image, runs = finished[kind]
        folder = Path(shutil.copytree(runs / "tiff", tmp_path / kind))
        (folder / lost).unlink()
        pairs.append((image, folder))
    by_folder = {run.folder.name: run for run in ended(pairs, Outputs("tiff", csv=True))}
    assert by_folder["picture"].made == ("overlay.png",)
    assert by_folder["picture"].why_again == ""
    assert by_folder["slide"].made == ()
    assert by_folder["slide"].why_again == "nuclei.parquet is missing"

"""Other thresholds of positive nuclei for a run that is finished: nothing is segmented again."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from fixtures.dark_model import DarkIsNucleus, dark_model
from fixtures.slides import write_tiled_tiff
from nuguide.errors import NuguideError, OutputError
from nuguide.nuclei.staining import asked_staining
from nuguide.segmentation import finished
from nuguide.segmentation.batch import Batch
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.outputs import Outputs
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.record import read_record
from nuguide.segmentation.result import Run

MPP = 0.5
ONE, THREE, NONE = "0.5", "0.4,0.6,0.8", None


@pytest.fixture(scope="module")
def images(crowd: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a picture and a slide, browner from left to right."""
    folder = tmp_path_factory.mktemp("images")
    share = np.linspace(0, 1, crowd.shape[1])[None, :, None]
    brown = crowd * (1 - share * np.array([0.1, 0.35, 0.6]))
    rgb = brown.astype(np.uint8)
    cv2.imwrite(str(folder / "picture.png"), rgb[..., ::-1])
    slide = write_tiled_tiff(folder / "slide.tif", rgb, mpp=MPP, compression="zlib")
    return {"picture": folder / "picture.png", "slide": slide}


def run(image: Path, folder: Path, positive: str | None, stains: str = "hdab") -> Run:
    model = dark_model()
    settings = Settings(
        MPP,
        cut=Cut(160, 32),
        outputs=Outputs(csv=True),
        staining=asked_staining(stains, positive),
    )
    batch = Batch(
        [(image, folder)],
        lambda image, folder: begin(image, folder, model, settings),
        LocalEngine(model),
    )
    (outcome,) = [each.outcome for each in batch.run()]
    if isinstance(outcome, NuguideError):
        raise outcome
    return outcome


@pytest.fixture(scope="module")
def runs(
    images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str | None], Path]:
    """Return run folders by image and thresholds."""
    made = {}
    for kind, image in images.items():
        for positive in (ONE, THREE, NONE):
            made[kind, positive] = tmp_path_factory.mktemp("runs") / "run"
            run(image, made[kind, positive], positive)
    return made


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: DarkIsNucleus, image: Tensor, tokens: Tensor | None = None) -> None:
        pytest.fail("the network ran")

    monkeypatch.setattr(DarkIsNucleus, "forward", forward)


def assert_equal_runs(one: Path, other: Path) -> None:
    """Compare all files to the byte, but for how long it took."""
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    timeless = [read_record(folder) for folder in (one, other)]
    for record in timeless:
        record["found"].pop("seconds")
        record["found"].pop("stages")
    assert timeless[0] == timeless[1]
    for name in names:
        if name not in ("run.toml", "report.html") and (one / name).is_file():
            assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["picture", "slide"])
@pytest.mark.parametrize(("before", "now"), [(ONE, THREE), (THREE, NONE), (NONE, ONE)])
@pytest.mark.usefixtures("no_network")
def test_other_thresholds_end_where_a_run_with_them_ends(
    images: dict[str, Path],
    runs: dict[tuple[str, str | None], Path],
    tmp_path: Path,
    kind: str,
    before: str | None,
    now: str | None,
) -> None:
    folder = Path(shutil.copytree(runs[kind, before], tmp_path / "run"))
    again = run(images[kind], folder, now)
    assert again.resumed
    assert {"nuclei.parquet", "nuclei.geojson.gz", "nuclei.csv", "report.html"} <= set(again.made)
    assert "labels.tif" not in again.made
    assert_equal_runs(folder, runs[kind, now])
    told = again.labelling
    if now is None:
        assert told is None
    else:
        assert told is not None
        assert 0 < (told.positive_percent or 0) < 100
        assert f"{told.positive_percent:.1f}" in (folder / "report.html").read_text()
    assert run(images[kind], folder, now).made == (), "and once is enough"


@pytest.mark.parametrize("fails", ["write_outputs", "write_page", "write_record"])
@pytest.mark.parametrize("then", [ONE, THREE, NONE])
@pytest.mark.usefixtures("no_network")
def test_whatever_ends_it_the_next_run_ends_right(
    images: dict[str, Path],
    runs: dict[tuple[str, str | None], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
    then: str | None,
) -> None:
    """With the thresholds of before, too, of which half of the files tell no more."""
    folder = Path(shutil.copytree(runs["picture", ONE], tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(finished, fails, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(images["picture"], folder, THREE)
    run(images["picture"], folder, then)
    assert_equal_runs(folder, runs["picture", then])


@pytest.mark.usefixtures("no_network")
def test_other_stains_are_another_run(
    images: dict[str, Path], runs: dict[tuple[str, str | None], Path]
) -> None:
    with pytest.raises(OutputError, match="holds another run"):
        run(images["picture"], runs["picture", ONE], None, stains="he")


def test_a_damaged_table_is_not_graded(
    images: dict[str, Path], runs: dict[tuple[str, str | None], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(runs["picture", ONE], tmp_path / "run"))
    table = folder / "nuclei.parquet"
    table.write_bytes(table.read_bytes()[:-200])
    again = run(images["picture"], folder, THREE)
    assert "nuclei.parquet" in again.why_again
    assert_equal_runs(folder, runs["picture", THREE])

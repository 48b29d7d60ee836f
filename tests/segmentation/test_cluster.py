"""The same nuclei from workers, and from those that are left when one dies."""

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
from distributed import Client

from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue
from nuguide.errors import InputError
from nuguide.models.card import Card, Decoding, NetworkSpec
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.networks.registry import build_network
from nuguide.nuclei.staining import Staining, asked_staining
from nuguide.segmentation.area import Where
from nuguide.segmentation.batch import Batch, State
from nuguide.segmentation.cluster import (
    ClusterEngine,
    RemoteModel,
    RemoteSlide,
    _open,
    connected,
    local_workers,
    segment_remotely,
)
from nuguide.segmentation.engine import Engine, LocalEngine
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.planning import Cut, plan
from nuguide.segmentation.region import Task
from nuguide.segmentation.result import Run
from nuguide.slides.reader import open_slide

# Dask's own sockets and event loops are not always collected in the order Python likes.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SETTINGS = Settings(where=Where(tissue=False), cut=Cut(96, 32), staining=asked_staining("hdab"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a network of random weights, which finds nuclei of some kind."""
    import torch

    torch.manual_seed(0)
    options = {"width": 2, "heads": ("nuclei", "distance")}
    card = Card(
        name="small",
        version="0",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        network=NetworkSpec(architecture="eunet3plus", options=options),
        # Where random weights part a drawn tissue into a few hundred pieces.
        decoding=Decoding(foreground_threshold=0.4476, prominence=0.0, min_area_um2=4.0),
        sha256="0" * 64,
    )
    folder = tmp_path_factory.mktemp("model")
    save_model(Model(build_network("eunet3plus", **options).eval(), None, card), folder)
    return folder


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("slides")
    rgb = [draw_tissue(288, 480, mpp=0.5, per_mm2=2000, seed=seed)[0] for seed in (0, 1)]
    return [
        write_tiled_tiff(place / f"{name}.tif", pixels, mpp=0.5, compression="zlib")
        for name, pixels in zip("ab", rgb, strict=True)
    ]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    # Dask would knock at a dead worker's door for half a minute.
    with dask.config.set({"distributed.comm.timeouts.connect": "5s"}), local_workers(2) as client:
        yield client


def segmented(
    slides: list[Path], out: Path, folder: Path, engine: Engine, watch: list[State] | None = None
) -> list[Run]:
    model = load(folder)
    batch = Batch(
        [(slide, out / slide.stem) for slide in slides],
        lambda image, place: begin(image, place, model, SETTINGS),
        engine,
        None if watch is None else watch.append,
    )
    runs = []
    for ended in sorted(batch.run(), key=lambda ended: ended.image):
        assert isinstance(ended.outcome, Run), ended.outcome
        runs.append(ended.outcome)
    return runs


def remote(folder: Path) -> RemoteModel:
    return RemoteModel(str(folder), load(folder).card.sha256, "cpu", cores=1)


def test_workers_give_what_one_process_gives_even_if_one_dies(
    slides: list[Path], folder: Path, client: Client, tmp_path: Path
) -> None:
    alone = segmented(slides, tmp_path / "alone", folder, LocalEngine(load(folder)))
    seen: list[State] = []

    class Killing(ClusterEngine):
        """Kills the first worker once three regions have come back."""

        def compute(self, tasks):  # type: ignore[no-untyped-def]
            for number, computed in enumerate(super().compute(tasks)):
                if number == 2:
                    victim = next(iter(client.run(os.getpid).values()))
                    os.kill(victim, signal.SIGKILL)
                yield computed

    together = segmented(
        slides, tmp_path / "together", folder, Killing(client, remote(folder)), seen
    )
    assert [run.count for run in together] == [run.count for run in alone]
    assert min(run.count for run in alone) > 20
    for one, other in zip(alone, together, strict=True):
        assert one.nuclei.to_table().equals(other.nuclei.to_table())
    assert {state.image for state in seen} == set(slides)


def test_a_worker_refuses_another_slide_or_model(
    slides: list[Path], folder: Path, client: Client, tmp_path: Path
) -> None:
    other = RemoteModel(str(folder), "f" * 64, "cpu", cores=1)
    model = load(folder)
    batch = Batch(
        [(slides[0], tmp_path)],
        lambda image, place: begin(image, place, model, SETTINGS),
        ClusterEngine(client, other),
    )
    (ended,) = batch.run()
    assert "other weights" in str(ended.outcome)


def test_a_worker_knows_a_slide_that_is_given_by_a_link(
    slides: list[Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The digest of a large file has its name in it.
    monkeypatch.setattr("nuguide.slides.digest.WHOLE_BYTES", 1024)
    monkeypatch.setattr("nuguide.slides.digest.SAMPLE_BYTES", 64)
    link = tmp_path / "link.tif"
    link.symlink_to(slides[0])

    class Recorder:
        def submit(self, work: object, slide: RemoteSlide, *_: object, **__: object) -> RemoteSlide:
            return slide

    with open_slide(link) as slide:
        task = Task(slide, plan(slide, load(folder), SETTINGS.cut)[0])
        sent = ClusterEngine(Recorder(), remote(folder))._send(task)  # type: ignore[arg-type]
        with _open.__wrapped__(sent) as opened:
            assert opened.sha256 == slide.sha256


def damaged_copy(slide: Path, copy: Path) -> Path:
    """Write noise over a tile in the middle of a slide's finest level."""
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages.first
        offset, count = page.dataoffsets[1], page.databytecounts[1]
    data = bytearray(slide.read_bytes())
    data[offset : offset + count] = np.random.default_rng(0).bytes(count)
    copy.write_bytes(data)
    return copy


def test_a_damaged_slide_does_not_stop_the_others(
    slides: list[Path], folder: Path, client: Client, tmp_path: Path
) -> None:
    damaged = damaged_copy(slides[1], tmp_path / "damaged.tif")
    model = load(folder)
    batch = Batch(
        [(damaged, tmp_path / "damaged"), (slides[0], tmp_path / "whole")],
        lambda image, place: begin(image, place, model, SETTINGS),
        ClusterEngine(client, remote(folder)),
    )
    outcomes = {ended.image: ended.outcome for ended in batch.run()}
    assert isinstance(outcomes[damaged], InputError)
    assert "damaged.tif cannot be decoded" in str(outcomes[damaged])
    assert isinstance(outcomes[slides[0]], Run)


def test_an_error_is_sent_without_its_cause(
    slides: list[Path], folder: Path, tmp_path: Path
) -> None:
    """Dask may send causes along, and that of a codec cannot be unpacked."""
    with open_slide(damaged_copy(slides[1], tmp_path / "damaged.tif")) as slide:
        where = RemoteSlide(str(slide.path), slide.mpp, slide.sha256)
        regions = plan(slide, load(folder), SETTINGS.cut)
    given = Staining(), remote(folder)
    outcomes = [segment_remotely(where, region, *given) for region in regions]
    errors = [each for each in outcomes if isinstance(each, InputError)]
    assert errors
    assert all(each.__cause__ is None and each.__context__ is None for each in errors)


def test_any_failure_of_a_worker_is_its_images_alone(
    slides: list[Path], folder: Path, client: Client, tmp_path: Path
) -> None:
    odd = replace(remote(folder), cores="many")  # type: ignore[arg-type]
    model = load(folder)
    batch = Batch(
        [(slide, tmp_path / slide.stem) for slide in slides],
        lambda image, place: begin(image, place, model, SETTINGS),
        ClusterEngine(client, odd),
    )
    outcomes = [ended.outcome for ended in batch.run()]
    assert len(outcomes) == len(slides)
    assert all("a region failed on a worker (TypeError" in str(each) for each in outcomes)


def test_no_worker_is_no_cluster() -> None:
    with pytest.raises(InputError, match="--workers says 0"), local_workers(0):
        pass


@pytest.mark.parametrize("scheme", ["tcp", "tls"])  # of the latter Dask's configuration tells none
def test_no_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr("nuguide.segmentation.cluster._PATIENCE", "0.2s")
    address = f"{scheme}://127.0.0.1:9"
    with pytest.raises(InputError, match=re.escape(address)), connected(address):
        pass


def test_a_scheduler_that_has_gone_is_one_line(
    folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost() -> dict[str, int]:
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:9 after 30 s")

    monkeypatch.setattr(client, "nthreads", lost)
    with pytest.raises(InputError, match=r"has gone \(Timed out .*\); .* the same command again"):
        next(ClusterEngine(client, remote(folder)).compute([]))

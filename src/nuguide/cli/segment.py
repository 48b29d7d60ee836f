"""`nuguide segment`: images in, nuclei out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nuguide.cli.told import as_line, tell

if TYPE_CHECKING:
    from nuguide.models.model import Model
    from nuguide.segmentation.batch import Batch, Ended
    from nuguide.segmentation.engine import Engine

BAD_INPUT = 2
PART_FAILED = 3

IMAGE, OUTPUT, MACHINE = "Image", "Output", "Machine"


class Labels(StrEnum):
    """Forms of the label map."""

    auto = "auto"
    zarr = "zarr"
    tiff = "tiff"
    none = "none"


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images and slides, or folders of them."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the results; several inputs get a folder each in it."
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a model, or a model's folder.")] = "default",
    commercial_ok: Annotated[
        bool,
        typer.Option(
            "--commercial-ok",
            help="Refuse a model whose licences do not allow commercial use, or do not say.",
        ),
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option(
            "--recursive",
            help="Search the folders in folders too; those that hold results are passed over.",
            rich_help_panel=IMAGE,
        ),
    ] = False,
    mpp: Annotated[
        str | None,
        typer.Option(
            help="Microns per pixel, for example 0.25; wins over the file's metadata. Where a file "
            "tells none, 'estimate' takes a rough guess from the size of nuclei.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    roi: Annotated[
        Path | None,
        typer.Option(
            help="GeoJSON of polygons (QuPath annotations): only nuclei inside are wanted.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    no_tissue: Annotated[
        bool,
        typer.Option(
            "--no-tissue",
            help="Do not look for tissue: segment all of a slide.",
            rich_help_panel=IMAGE,
        ),
    ] = False,
    tissue_threshold: Annotated[
        float | None,
        typer.Option(
            help="Optical density from which something is tissue, for example 0.05.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    stains: Annotated[
        str,
        typer.Option(
            help="Stains that are measured: he (haematoxylin, eosin), hdab (haematoxylin, DAB), or "
            "a text file with QuPath's line setColorDeconvolutionStains('{...}').",
            rich_help_panel=IMAGE,
        ),
    ] = "he",
    positive: Annotated[
        str | None,
        typer.Option(
            help="Mean optical density of the second stain in a nucleus from which on it is "
            "positive, or three that rise, for 1+, 2+ and 3+: 0.2 or 0.2,0.4,0.6. The choice is "
            "yours: there is no default.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    decoding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Another value than the model's card has, such as min_area_um2=5; the others are "
            "foreground_threshold, smoothing_um and prominence. May be given more than once.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    labels: Annotated[
        Labels,
        typer.Option(
            help="Label map: auto is OME-Zarr for whole slides and TIFF for other images.",
            rich_help_panel=OUTPUT,
        ),
    ] = Labels.auto,
    csv: Annotated[
        bool,
        typer.Option("--csv", help="Write the measurements as CSV too.", rich_help_panel=OUTPUT),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace another run that lies in the folder; begin anew.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a line of JSON for each image.", rich_help_panel=OUTPUT),
    ] = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=MACHINE)
    ] = "auto",
    backend: Annotated[
        str,
        typer.Option(
            help="torch, compile, onnx or openvino; bfloat16 (on hardware that has it) and int8: "
            "faster, not quite the same; auto is the fastest of those installed, timed once.",
            rich_help_panel=MACHINE,
        ),
    ] = "torch",
    views: Annotated[
        int,
        typer.Option(
            help="In how many ways to look at each region, turned and mirrored, and take the mean: "
            "1, 2, 4 or 8. So many times as long the network takes.",
            rich_help_panel=MACHINE,
        ),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Worker processes on this machine; they share its cores.", rich_help_panel=MACHINE
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask scheduler of a cluster, such as tcp://host:8786.", rich_help_panel=MACHINE
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory for regions under way, beside the network's own; for example 2GB. A "
            "worker has one region a thread, whatever it is.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
) -> None:
    """Segment the nuclei of images and whole slides into files for QuPath, Python and the eye.

    The same command again skips what is finished and goes on where it was stopped; files that
    are missing, or are asked for now, are made from the nuclei found before.
    """
    from nuguide.backends.registry import with_backend
    from nuguide.backends.views import with_views
    from nuguide.cli.ending import ended_like_ctrl_c
    from nuguide.cli.progress import shown_progress, watched
    from nuguide.models.decoding_choice import asked_decoding, with_decoding
    from nuguide.models.licence import require_commercial_use
    from nuguide.models.registry import load
    from nuguide.nuclei.staining import asked_staining
    from nuguide.segmentation.area import Where
    from nuguide.segmentation.batch import Batch
    from nuguide.segmentation.batch_page import write_batch_page
    from nuguide.segmentation.batch_plan import plan_batch
    from nuguide.segmentation.batch_summary import PAGE_FILE, SUMMARY_FILE
    from nuguide.segmentation.job import Settings, begin
    from nuguide.segmentation.outputs import Outputs
    from nuguide.slides.finding import find_images
    from nuguide.units import asked_mpp

    settings = Settings(
        mpp=asked_mpp(mpp),
        where=Where(not no_tissue, tissue_threshold, roi),
        outputs=Outputs(labels.value, csv),
        overwrite=overwrite,
        staining=asked_staining(stains, positive),
    )
    images = find_images(
        inputs, below=recursive, passed_over=lambda each: _holds_results(each, out)
    )
    pairs = plan_batch(images, out)
    loaded = with_decoding(load(model), asked_decoding(decoding or []))
    if commercial_ok:
        require_commercial_use(loaded.card)
    loaded = with_views(with_backend(loaded, backend, device), views)
    side_by_side = [folder for _, folder in pairs] != [out]
    with (
        ended_like_ctrl_c(),
        _engine(loaded, model, device, memory, workers, scheduler) as engine,
        shown_progress() as progress,
    ):
        batch = Batch(
            pairs, lambda image, folder: begin(image, folder, loaded, settings), engine, progress
        )
        summary = out / SUMMARY_FILE if side_by_side else None
        done, failed = _run(batch, summary, several=len(pairs) > 1, as_json=as_json)
    if side_by_side and done:
        write_batch_page(out, lambda images: watched(images, "Drawing"))
    if side_by_side and not as_json:
        tables = f"; {SUMMARY_FILE} and {PAGE_FILE} have a row for each" if done else ""
        typer.echo(f"{done} of {len(pairs)} images done, in {out}{tables}")
    if failed:
        raise typer.Exit(PART_FAILED if done else BAD_INPUT)


def _run(batch: "Batch", summary: Path | None, *, several: bool, as_json: bool) -> tuple[int, int]:
    """Segment images and tell of each as it ends; return how many were done, and how many failed.

    Whatever stops this, the table has those that ended before.
    """
    from nuguide.errors import NuguideError
    from nuguide.segmentation.batch_summary import write_summary

    every: list[Ended] = []
    done = 0
    try:
        for ended in batch.run():
            every.append(ended)
            if as_json:
                typer.echo(json.dumps(as_line(ended)))
            if isinstance(ended.outcome, NuguideError):
                if not several:
                    raise ended.outcome
                typer.echo(f"error: {ended.outcome}", err=True)
                continue
            done += 1
            if not as_json:
                tell(ended.image, ended.outcome)
            if done == 1 and summary is not None:
                write_summary(every, summary)  # by which others know what the folder is
    finally:
        if done and summary is not None:
            write_summary(every, summary)
    return done, len(every) - done


def _holds_results(folder: Path, out: Path) -> bool:
    """Tell whether a folder is where results go, or the run of an image."""
    from nuguide.segmentation.ledger import is_run

    return folder.resolve() == out.resolve() or is_run(folder)


@contextmanager
def _engine(
    model: "Model",
    name: str,
    device: str,
    memory: str | None,
    workers: int | None,
    scheduler: str | None,
) -> "Iterator[Engine]":
    """Give what computes: this process, processes beside it, or a cluster."""
    from nuguide.errors import InputError
    from nuguide.models.registry import embedded_models
    from nuguide.segmentation.engine import local_engine
    from nuguide.segmentation.resources import parse_memory

    amount = None if memory is None else parse_memory(memory)
    if workers is None and scheduler is None:
        yield local_engine(model, device, amount)
        return
    if workers is not None and scheduler is not None:
        raise InputError(
            "got --workers and --scheduler; expected one of them; workers of a cluster are "
            "started with its scheduler"
        )
    from nuguide.segmentation.cluster import ClusterEngine, RemoteModel, connected, local_workers
    from nuguide.segmentation.resources import available_cores

    where = name if name in embedded_models() else str(Path(name).absolute())
    cores = None if workers is None else max(1, available_cores() // max(1, workers))
    card = model.card
    remote = RemoteModel(
        where, card.sha256, device, cores, model.backend, card.decoding, model.views
    )
    place = connected(scheduler) if scheduler is not None else local_workers(workers or 0)
    with place as client:
        yield ClusterEngine(client, remote)

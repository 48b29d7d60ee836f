"""`nuguide segment`: images in, nuclei out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nuguide.segmentation.batch import Outcome
    from nuguide.segmentation.run import Progress

BAD_INPUT = 2
PART_FAILED = 3

FILES = {
    "nuclei.geojson.gz": "detections: drop it on QuPath's viewer",
    "nuclei.parquet": "one row a nucleus (GeoParquet): pandas, geopandas",
    "labels.tif": "label map at the image's resolution",
    "overlay.png": "outlines on the image",
    "run.toml": "settings, versions, licences, scale",
}


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Images (PNG, JPEG, TIFF), or folders of them."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the results; several inputs get a folder each in it."
        ),
    ],
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel, for example 0.25; wins over the file's metadata."),
    ] = None,
    model: Annotated[str, typer.Option(help="Name of a model, or a model's folder.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run that lies in the folder.")
    ] = False,
) -> None:
    """Segment the nuclei of images into files for QuPath, Python and the eye.

    Each image gets nuclei.geojson.gz (QuPath detections), nuclei.parquet (GeoParquet), labels.tif,
    overlay.png and run.toml. The same command again skips what is finished.
    """
    from nuguide.errors import NuguideError
    from nuguide.models.registry import load
    from nuguide.segmentation.batch import plan_batch, segment_into
    from nuguide.segmentation.run import on_device
    from nuguide.slides.finding import find_images
    from nuguide.units import checked_mpp

    scale = None if mpp is None else checked_mpp(mpp)
    batch = plan_batch(find_images(inputs), out)
    loaded = on_device(load(model), device)
    failed = 0
    for image, folder in batch:
        try:
            with _progress(image.name) as progress:
                outcome = segment_into(
                    image, folder, loaded, mpp=scale, overwrite=overwrite, progress=progress
                )
        except NuguideError as error:
            if len(batch) == 1:
                raise
            typer.echo(f"error: {error}", err=True)
            failed += 1
        else:
            _report(image, outcome)
    if len(batch) > 1:
        typer.echo(f"{len(batch) - failed} of {len(batch)} images done, in {out}")
    if failed:
        raise typer.Exit(PART_FAILED if failed < len(batch) else BAD_INPUT)


@contextmanager
def _progress(name: str) -> "Iterator[Progress]":
    """Show a bar over regions with the nuclei found so far; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), "regions")
    with Progress(
        *columns,
        "{task.fields[nuclei]} nuclei",
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None, nuclei=0)
        yield lambda done, total, nuclei: bar.update(
            task, completed=done, total=total, nuclei=nuclei
        )


def _report(image: Path, outcome: "Outcome") -> None:
    """Print what was found, in um, and where it lies."""
    again = " (done before)" if outcome.resumed else ""
    typer.echo(f"{image.name}: {outcome.nuclei} nuclei in {outcome.seconds:.1f} s{again}")
    if outcome.nuclei:
        typer.echo(f"  median area  {outcome.median_area_um2:.1f} um2")
    else:
        typer.echo(f"  none found   {outcome.reason}")
    typer.echo(f"  scale        {outcome.mpp:g} um/px, from {outcome.mpp_source}")
    typer.echo(f"  files        {outcome.folder}/")
    for name, what in FILES.items():
        typer.echo(f"    {name:<17} {what}")

"""`nuguide calibrate`: what is a model's confidence worth?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nuguide.units import checked_mpp


def calibrate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Folder of a model; with --check also a name.")
    ],
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA", help="A data set, any that nuguide data check names; or several."
        ),
    ],
    split: Annotated[
        Literal["fit", "validation", "train", "test", "all"],
        typer.Option(help="Images that the model was not fitted on."),
    ] = "validation",
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the images in a folder, for example 0.25."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only measure the calibration that the model has.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Also draw what was said against what was found (.svg or .png)."),
    ] = None,
) -> None:
    """Calibrate a model's confidence on annotated images.

    Asks how often a true nucleus matches one of a given confidence (IoU > 0.5) and writes it to
    the model's card: every nucleus found later has a match probability.
    """
    from rich.console import Console
    from rich.progress import track

    from nuguide.datasets.opening import open_dataset
    from nuguide.evaluation.calibration import fitted, headline, judged, reliability, tables
    from nuguide.evaluation.figures import FIGURE_SUFFIXES, reliability_figure, write_figure
    from nuguide.evaluation.record import check_target
    from nuguide.models.checkpoint import write_card
    from nuguide.models.registry import load, refuse_embedded
    from nuguide.segmentation.run import on_device

    if figure is not None:
        check_target(figure, FIGURE_SUFFIXES, data)
    if not check:
        refuse_embedded(model)
    loaded = on_device(load(model), "auto")
    samples = open_dataset(data, split, None if mpp is None else checked_mpp(mpp))
    watched = Console(stderr=True)
    shown = track(
        samples, "Segmenting", console=watched, transient=True, disable=not watched.is_terminal
    )
    seen = judged(loaded, shown)
    calibration = loaded.card.calibration
    if not check:
        names = ", ".join(each.resolve().name for each in data)
        calibration = fitted(seen, f"{names} {split}, {seen.n_images} images")
        write_card(loaded.card.model_copy(update={"calibration": calibration}), Path(model))
    found = reliability(seen, calibration)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(headline(loaded.card.name, seen))
    for table in tables(found):
        console.print("", table, sep="\n")
    if not check:
        console.print("", "Measured on the images that it was fitted to; see --check.", sep="\n")
        console.print(Path(model) / "model.toml")
    if figure is not None:
        write_figure(reliability_figure(found), figure)
        console.print("", figure, sep="\n")

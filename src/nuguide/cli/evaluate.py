"""`nuguide evaluate`: score a model on an annotated data set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nuguide.units import checked_mpp

Split = Literal["fit", "validation", "train", "test", "all"]


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model, or a model's folder.")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="MoNuSeg 2018, or a folder of images/ and masks/ with equal stems."
        ),
    ],
    split: Annotated[
        Split, typer.Option(help="Images to score; fit and validation are the parts of train.")
    ] = "test",
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the images in a folder, for example 0.25."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Also write the scores to this file.", dir_okay=False)
    ] = None,
) -> None:
    """Score a model on annotated images.

    Scores are taken at the annotation's own resolution; each comes with its definition and a
    bootstrap 95 % interval.
    """
    from rich.console import Console
    from rich.progress import track

    from nuguide.datasets.opening import open_dataset
    from nuguide.evaluation.evaluate import evaluate as evaluate_samples
    from nuguide.evaluation.table import (
        check_target,
        definition_lines,
        headline,
        score_table,
        write_json,
    )
    from nuguide.models.registry import load
    from nuguide.segmentation.run import on_device, segment_array

    if json is not None:
        check_target(json)
    samples = open_dataset(data, split, None if mpp is None else checked_mpp(mpp))
    loaded = on_device(load(model), "auto")
    watched = Console(stderr=True)
    scores = evaluate_samples(
        lambda rgb, scale: segment_array(rgb, scale, loaded).labels,
        track(samples, "Scoring", console=watched, transient=True, disable=not watched.is_terminal),
        model=loaded.card.name,
        data=data.resolve().name,
        split=split,
    )
    if json is not None:
        write_json(scores, json)
    # Lines of text are not wrapped: a terminal does that by itself, a file keeps them whole.
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(headline(scores), "", sep="\n")
    console.print(score_table(scores), "", *definition_lines(scores), sep="\n")
    if json is not None:
        console.print("", json, sep="\n")

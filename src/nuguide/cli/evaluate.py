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
    """Score MODEL on DATA at the annotation's own resolution, with definitions and intervals."""
    from rich.console import Console
    from rich.progress import track

    from nuguide.datasets.opening import open_dataset
    from nuguide.evaluation.evaluate import evaluate as evaluate_samples
    from nuguide.evaluation.table import definition_lines, score_table, write_json
    from nuguide.models.registry import load
    from nuguide.segmentation.run import segment_array

    samples = open_dataset(data, split, None if mpp is None else checked_mpp(mpp))
    loaded = load(model)
    scores = evaluate_samples(
        lambda rgb, scale: segment_array(rgb, scale, loaded).labels,
        track(samples, "Scoring", console=Console(stderr=True), transient=True),
        model=loaded.card.name,
        data=data.resolve().name,
        split=split,
    )
    if json is not None:
        write_json(scores, json)
    console = Console()
    console.print(score_table(scores))
    console.print()
    for line in definition_lines(scores):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if json is not None:
        console.print(f"\n{json}", soft_wrap=True, markup=False, highlight=False)

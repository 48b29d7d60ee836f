"""`nuguide evaluate`: score a model on an annotated data set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nuguide.units import checked_mpp

Split = Literal["fit", "validation", "train", "test", "all"]
Protocol = Literal["standard", "released"]


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model, or a model's folder.")
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A data set: any that nuguide data check names."),
    ],
    split: Annotated[
        Split, typer.Option(help="Images to score; fit and validation are the parts of train.")
    ] = "test",
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the images in a folder, for example 0.25."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="standard: at the annotation's own resolution; released: as the published "
            "evaluation does, whole images at 256 x 256 px."
        ),
    ] = "standard",
    backend: Annotated[
        str, typer.Option(help="What computes the model, as for nuguide segment.")
    ] = "torch",
    views: Annotated[int, typer.Option(help="Views of each region, as for nuguide segment.")] = 1,
    decoding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Another value than the model's card has, as for nuguide segment.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Also write the scores to this file.", dir_okay=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with the worst images.", dir_okay=False)
    ] = None,
) -> None:
    """Score a model on annotated images.

    Scores are taken at the annotation's own resolution; each comes with its definition and a
    bootstrap 95 % interval.
    """
    from rich.console import Console
    from rich.progress import track

    from nuguide.backends.registry import with_backend
    from nuguide.backends.views import with_views
    from nuguide.datasets.opening import classes_of, open_dataset
    from nuguide.evaluation.evaluate import evaluate as evaluate_samples
    from nuguide.evaluation.prediction import predictor
    from nuguide.evaluation.record import check_apart, check_target, write_json
    from nuguide.evaluation.report import watcher, write_report
    from nuguide.evaluation.table import (
        definition_lines,
        headline,
        interval_line,
        rule_line,
        score_table,
    )
    from nuguide.evaluation.types import why_not_scored
    from nuguide.models.checkpoint import MODEL_FILES
    from nuguide.models.decoding_choice import asked_decoding, with_decoding
    from nuguide.models.registry import load
    from nuguide.segmentation.run import on_device

    check_apart(json, html)
    for target in (json, html):
        if target is not None:
            check_target(target, inputs=[data, *(Path(model) / name for name in MODEL_FILES)])
    scale = None if mpp is None else checked_mpp(mpp)
    samples = open_dataset(data, split, scale)
    changes = asked_decoding(decoding or [])
    chosen = with_decoding(load(model), changes)
    loaded = on_device(with_views(with_backend(chosen, backend), views), "auto")
    no_types = why_not_scored(loaded.card.types, classes_of(data, scale))
    told = changes | ({"views": views} if views > 1 else {})
    watched = Console(stderr=True)
    worst = watcher(protocol)
    scores = evaluate_samples(
        predictor(loaded, protocol),
        track(samples, "Scoring", console=watched, transient=True, disable=not watched.is_terminal),
        model=" ".join([loaded.card.name, *(f"{name}={each:g}" for name, each in told.items())]),
        data=data.resolve().name,
        split=split,
        protocol=protocol,
        model_sha256=loaded.card.sha256,
        classes=() if no_types else loaded.card.classes,
        watch=None if html is None else worst,
    )
    if json is not None:
        write_json(scores, json)
    if html is not None:
        write_report(scores, worst, html)
    # Lines of text are not wrapped: a terminal does that by itself, a file keeps them whole.
    console = Console(soft_wrap=True, markup=False, highlight=False)
    console.print(headline(scores), rule_line(scores), interval_line(scores), sep="\n")
    console.print(*filter(None, [no_types]), "", sep="\n")
    console.print(score_table(scores), "", *definition_lines(scores), sep="\n")
    written = [str(path) for path in (json, html) if path is not None]
    if written:
        console.print("", *written, sep="\n")

"""`nuguide ablate`: variants of a recipe, trained and scored on equal terms."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from nuguide.units import checked_mpp


def ablate(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a recipe's TOML."),
    ],
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the data set, with its split of validation.")
    ],
    runs: Annotated[
        Path, typer.Option("--runs", help="File that gets one JSON line a run.", dir_okay=False)
    ],
    grid: Annotated[
        str, typer.Option("--grid", help="Name of a packaged grid, or a grid's TOML.")
    ] = "core",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder that gets a run's folder for each.")
    ] = Path("runs/ablation"),
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="VARIANT", help="Only this variant; may be repeated."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Only this seed; may be repeated.")
    ] = None,
    split: Annotated[
        Literal["validation", "test"],
        typer.Option(help="Images to score; test once, after the choices are made."),
    ] = "validation",
    unseen: Annotated[
        list[Path] | None,
        typer.Option(
            "--unseen",
            metavar="DATA",
            help="Another data set, on all of which each run is scored too; may be repeated.",
        ),
    ] = None,
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the images in a folder, for example 0.25."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train what is missing, or only show.")
    ] = True,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Also write the table and figures to this folder."),
    ] = None,
) -> None:
    """Train and score a grid of variants with equal data, budget and seeds.

    The same command again goes on where it stopped, and several may run at once.
    """
    import sys

    from rich.console import Console

    from nuguide.training.ablation.figure import write_report
    from nuguide.training.ablation.grid import planned, read_grid
    from nuguide.training.ablation.rows import parts_of, read_rows
    from nuguide.training.ablation.run import ablate as run
    from nuguide.training.ablation.table import as_tables, entries, footnotes

    chosen = read_grid(grid)
    plan = planned(chosen, recipe, only=only or (), seeds=seed or ())
    console = Console(soft_wrap=True, markup=False, highlight=False)
    others = unseen or []
    parts = parts_of(data, split, others)
    if train:
        watched = sys.stderr.isatty()
        run(
            plan,
            data,
            runs,
            out,
            split=split,
            unseen=others,
            mpp=None if mpp is None else checked_mpp(mpp),
            say=console.print,
            progress=watched,
        )
    rows = read_rows(runs)
    for part in parts:
        stem = f"ablation-{part.name}" if part.data in others else "ablation"
        found = entries(chosen, part.rows(rows))
        console.print("", f"{part.name}, {part.split}", sep="\n")
        if not found:
            console.print(f"no run of this grid is in {runs}")
            continue
        for table in as_tables(found):
            console.print("", table, sep="\n")
        console.print("", *footnotes(found), sep="\n")
        for path in write_report(found, report, stem) if report else []:
            console.print(path)

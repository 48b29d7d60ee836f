"""`nuguide reproduce`: the published table, trained and scored anew."""

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Folder with a folder for each of CryoNuSeg, NuInsSeg and CoNIC."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder that gets a run's folder for each.")
    ] = Path("runs/reproduce"),
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs", help="File that gets one JSON line a run [default: OUT/runs.jsonl]."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NAME", help="Only this data set or network; may be repeated."
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", help="Only this seed; may be repeated.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Depart from the published recipe; it is told."
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train what is missing, or only show.")
    ] = True,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write the tables to this folder.")
    ] = None,
) -> None:
    """Train the networks of the published table on its data sets, and score them by its rules.

    The same command again goes on where it stopped, and several may run at once. Data sets that
    are missing are named at the end, with where to get them.
    """
    import sys

    from rich.console import Console

    from nuguide.training.ablation.rows import read_rows
    from nuguide.training.recipe_file import parsed_changes
    from nuguide.training.reproduction.plan import choose, find_sets
    from nuguide.training.reproduction.run import SPLIT, missing_sets
    from nuguide.training.reproduction.run import reproduce as run
    from nuguide.training.reproduction.table import as_tables, footnotes, lines, write_report

    choice, file = choose(only or (), seed or ()), runs or out / "runs.jsonl"
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if train:
        missing = run(
            data,
            choice,
            file,
            out,
            changes=parsed_changes(changes or []),
            say=console.print,
            progress=sys.stderr.isatty(),
        )
    else:
        missing = missing_sets(find_sets(data), choice.sets)
    found = lines(choice, [row for row in read_rows(file) if row.split == SPLIT])
    for table in as_tables(found):
        console.print("", table, sep="\n")
    console.print("", *footnotes(found), sep="\n")
    if missing:
        console.print("", *missing, sep="\n")
    if report is not None:
        console.print("", write_report(found, report), sep="\n")

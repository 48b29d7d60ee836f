"""`nuguide compare`: which of several models is better on the same images."""

from pathlib import Path
from typing import Annotated

import typer

from nuguide.cli.told import UNBOUNDED


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="A.json B.json...",
            help="Files that nuguide evaluate wrote with --json; all are compared with the first.",
        ),
    ],
    json: Annotated[
        Path | None, typer.Option(help="Also write the differences to this file.", dir_okay=False)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page to look at.", dir_okay=False)
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Also draw the differences (.svg or .png).", dir_okay=False),
    ] = None,
) -> None:
    """Compare models that were scored on the same images.

    Each difference is paired by image and comes with a bootstrap 95 % interval.
    """
    from rich.console import Console

    from nuguide.evaluation.compare import compare as compare_scores
    from nuguide.evaluation.compare import comparison_tables, reading_line, write_comparison
    from nuguide.evaluation.record import check_apart, check_target, read_scores
    from nuguide.evaluation.table import rule_line

    check_apart(json, html, figure)
    for target, suffixes in ((json, ()), (html, ()), (figure, (".svg", ".png"))):
        if target is not None:
            check_target(target, suffixes, files)
    comparison = compare_scores(
        [read_scores(path) for path in files], [str(path) for path in files]
    )
    reference = comparison.reference
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    console.print(
        f"{reference.data}, split {reference.split}, {len(reference.images)} images",
        rule_line(reference),
        sep="\n",
    )
    for table in comparison_tables(comparison):
        console.print("", table, sep="\n")
    console.print("", reading_line(comparison), sep="\n")
    if json is not None:
        write_comparison(comparison, json)
    if html is not None:
        from nuguide.evaluation.report import write_comparison_page

        write_comparison_page(comparison, html)
    if figure is not None:
        from nuguide.evaluation.figures import forest, write_figure

        write_figure(forest(comparison), figure)
    written = [str(path) for path in (json, html, figure) if path is not None]
    if written:
        console.print("", *written, sep="\n")

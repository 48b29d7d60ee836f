"""`nuguide count`: how many nuclei do slides have, by a run and a few annotated fields?"""

from pathlib import Path
from typing import Annotated

import typer

from nuguide.cli.told import UNBOUNDED


def count(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="What nuguide segment wrote: a run, or a folder of them."
        ),
    ],
    annotations: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATIONS", help="What nuguide fields wrote, annotated: a folder of GeoJSON."
        ),
    ],
    csv: Annotated[
        Path | None, typer.Option(help="Also write the counts to this file.", dir_okay=False)
    ] = None,
) -> None:
    """Count the nuclei of whole slides without a model's bias, with an interval.

    What a run found is corrected by fields that were drawn at random and annotated; so are shares
    of positive nuclei and of types, where the annotation tells them apart.
    """
    from rich.console import Console

    from nuguide.evaluation.counting import open_slides, without_frame
    from nuguide.evaluation.counts import (
        counts_of,
        rate_table,
        reading_lines,
        total_table,
        write_counts,
    )
    from nuguide.evaluation.record import check_target

    if csv is not None:
        check_target(csv, (".csv",), [out, annotations])
    slides = open_slides(out, annotations)
    counts = counts_of(slides)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    console.print(total_table(counts), "", rate_table(counts), sep="\n")
    console.print("", *reading_lines(slides, counts), sep="\n")
    if left_out := without_frame(annotations):
        console.print(
            f"warning: left out, since no .fields.json beside them tells that fields were drawn at "
            f"random: {', '.join(left_out)}"
        )
    if csv is not None:
        write_counts(counts, csv)
        console.print("", csv, sep="\n")

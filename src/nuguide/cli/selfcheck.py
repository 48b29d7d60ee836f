"""`nuguide selfcheck`: the proof that seams leave no trace, on a user's own slide."""

from pathlib import Path
from typing import Annotated

import typer

NOT_HELD = 3


def selfcheck(
    slide: Annotated[Path, typer.Argument(metavar="SLIDE", help="A slide or an image.")],
    model: Annotated[str, typer.Option(help="Name of a model, or a model's folder.")] = "default",
    mpp: Annotated[
        str | None, typer.Option(help="Microns per pixel, where the slide does not tell.")
    ] = None,
    side: Annotated[
        float, typer.Option(help="Side of the square that is checked, mm.", min=0.05, max=20.0)
    ] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Segment the same tissue twice, cut into other regions, and compare nucleus by nucleus.

    The square with most tissue is taken. Exit code 0 if at most 0.5 % of the nuclei differ, none is
    doubled and none cut at a region's edge; 3 if not.
    """
    from nuguide.cli.progress import shown_progress
    from nuguide.models.registry import load
    from nuguide.segmentation.engine import local_engine
    from nuguide.segmentation.selfcheck import TOLERANCE
    from nuguide.segmentation.selfcheck import selfcheck as check
    from nuguide.units import asked_mpp

    loaded = load(model)
    engine = local_engine(loaded, device)
    with shown_progress() as progress:
        agreement = check(
            slide, loaded, engine, mpp=asked_mpp(mpp), side_um=1e3 * side, progress=progress
        )
    first, second = agreement.nuclei
    share = agreement.differing / max(first, second, 1)
    typer.echo(f"nuclei     {first} and {second}, cut in two ways")
    typer.echo(f"matching   {agreement.matching}")
    typer.echo(f"differing  {agreement.differing} ({share:.2%}; at most {TOLERANCE:.1%})")
    typer.echo(f"doubled    {agreement.doubled}")
    typer.echo(f"cut        {agreement.cut}")
    if agreement.holds:
        typer.echo("The nuclei of this slide do not depend on how it is cut into regions.")
        return
    typer.echo(
        "The nuclei of this slide depend on how it is cut into regions: please report it.", err=True
    )
    raise typer.Exit(NOT_HELD)

"""`nuguide train`: fit what a recipe says."""

from pathlib import Path
from typing import Annotated

import typer

from nuguide.units import checked_mpp


def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a recipe's TOML."),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="Folder of the data set, with its split of validation; several are joined.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run [default: runs/<name>].")
    ] = None,
    mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the images in a folder, for example 0.25."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value, such as steps=500."),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            help="GPUs of this machine, or processes where there is none, that share each batch; "
            "torchrun and srun say it themselves.",
        ),
    ] = 1,
) -> None:
    """Train a network, or distil a student; the same command again continues after a stop."""
    import shlex
    import sys

    from nuguide.training.finish import finish
    from nuguide.training.fit import fit
    from nuguide.training.history import CURVE_FILE, best_line, history_of
    from nuguide.training.processes import is_first, launched
    from nuguide.training.recipe import SegmentationRecipe
    from nuguide.training.recipe_file import parsed_changes, read_recipe
    from nuguide.training.stated import left_unstated
    from nuguide.training.trainer import chosen_by

    chosen = read_recipe(recipe, parsed_changes(changes or []))
    run = out or Path("runs") / chosen.name
    each, nodes = launched() or (devices, 1)
    scale = None if mpp is None else checked_mpp(mpp)
    watched = sys.stderr.isatty()
    best = fit(chosen, data, run, mpp=scale, progress=watched, devices=each, nodes=nodes)
    if not is_first():
        return
    if (history := history_of(run, chosen_by(chosen))) is not None:
        typer.echo(f"best epoch       {best_line(history)}")
    if (run / CURVE_FILE).is_file():
        typer.echo(f"curve            {run / CURVE_FILE}")
    typer.echo(f"best checkpoint  {best}")
    made = finish(run)
    if made is not None:
        typer.echo(f"model            {made}")
        if isinstance(chosen, SegmentationRecipe) and (line := left_unstated(run, chosen)):
            typer.echo(f"card             {line}")
        # What a network was fitted on, it is surer of.
        if chosen.split == "fit":
            again = ["nuguide", "calibrate", str(made), *map(str, data)]
            again += ["--mpp", mpp] if mpp else []
            typer.echo(f"not calibrated   {shlex.join(again)}")

"""`scripts/train_gpu`: pack here, train on a machine with a GPU, unpack here."""

import argparse
import re
import sys
from pathlib import Path

from nuguide.errors import InputError, NuguideError

PACK, STATES = Path("work/gpu"), Path("runs/gpu-states")
BAD_INPUT = 2
_UNITS = {"s": 1, "m": 60, "h": 3600}


def main() -> None:
    """Run one of the three steps."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("--max-time"):
        arguments = ["train", *arguments]
    chosen = _parser().parse_args(arguments)
    try:
        chosen.step(chosen)
    except NuguideError as error:
        print(f"error: {' '.join(str(error).splitlines())}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/train_gpu", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")

    pack = steps.add_parser("pack", help="write what the GPU machine needs")
    pack.add_argument("recipe", help="name of a packaged recipe, or a recipe's TOML")
    pack.add_argument(
        "--data",
        type=Path,
        required=True,
        action="append",
        help="folder of the data set; several are joined",
    )
    pack.add_argument("--mpp", help="microns per pixel of the images in a folder, such as 0.25")
    pack.add_argument("--grid", help="train the variants of this grid, not the recipe alone")
    pack.add_argument("--only", action="append", help="only this variant; may be repeated")
    pack.add_argument("--seed", type=int, action="append", help="only this seed; may be repeated")
    pack.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    pack.add_argument(
        "--max-error",
        type=int,
        choices=range(9),
        default=0,
        help="grey levels that an image's values may be off, for a smaller pack; 0: none",
    )
    pack.add_argument("--out", type=Path, default=PACK)
    pack.set_defaults(step=_pack)

    train = steps.add_parser("train", help="train what was packed; the same again goes on")
    train.add_argument("--max-time", type=seconds, required=True, help="of this call: 90s, 9m, 1h")
    train.add_argument(
        "--run-time",
        type=run_time,
        action="append",
        metavar="[RUN=]TIME",
        help="of each run, over all calls; or of the run that is named, which may be repeated",
    )
    train.add_argument(
        "--by-steps", action="store_true", help="each run makes its recipe's steps, whatever time"
    )
    train.add_argument("--pack", type=Path, default=PACK, help="folder that was packed")
    train.add_argument("--runs", type=Path, default=STATES, help="keeps states between calls")
    train.add_argument("--out", type=Path, default=Path("work/gpu-out"), help="gets the results")
    train.add_argument("--device", default="auto", help="auto, cuda or cpu")
    train.set_defaults(step=_train)

    unpack = steps.add_parser("unpack", help="make runs and models of what came back")
    unpack.add_argument("folder", type=Path, help="what train wrote to --out")
    unpack.add_argument("--out", type=Path, default=Path("runs/gpu"), help="gets a run's folders")
    unpack.set_defaults(step=_unpack)
    return parser


def seconds(text: str) -> float:
    """Read a time such as 90s, 9m or 1h.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected such as 90s, 9m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def run_time(text: str) -> tuple[str, float]:
    """Read a time, such as 9m, or that of one run, such as wide=9m; without a name it is empty.

    Raises
    ------
    ArgumentTypeError
        If it is none.
    """
    name, _, time = text.rpartition("=")
    return name, seconds(time)


def _pack(chosen: argparse.Namespace) -> None:
    # Here, not above: the GPU machine has nothing of what these need.
    from nuguide.training.ablation.grid import planned, read_grid
    from nuguide.training.gpu.pack import pack
    from nuguide.training.recipe import Recipe, SegmentationRecipe
    from nuguide.training.recipe_file import parsed_changes, read_recipe
    from nuguide.units import checked_mpp

    changes, only, seeds = parsed_changes(chosen.set), chosen.only or (), chosen.seed or ()
    made: list[Recipe]
    if chosen.grid is not None:
        trainings = planned(read_grid(chosen.grid), chosen.recipe, changes, only=only, seeds=seeds)
        made = [each.recipe for each in trainings]
    elif only or seeds:
        raise InputError(
            "--only or --seed stands without a grid; expected --grid, of whose runs they choose; "
            "name a grid, or set a recipe's seed by --set seed=N"
        )
    else:
        made = [read_recipe(chosen.recipe, changes)]
    recipes = [each for each in made if isinstance(each, SegmentationRecipe)]
    if not recipes:
        raise InputError(
            f"{chosen.recipe} is the recipe of a distillation; expected that of a segmentation; "
            "name another"
        )
    mpp = None if chosen.mpp is None else checked_mpp(chosen.mpp)
    size = pack(recipes, chosen.data, chosen.out, mpp, chosen.max_error)
    print(f"{len(recipes)} runs packed in {chosen.out}: {size / 2**20:.1f} MiB")


def _train(chosen: argparse.Namespace) -> None:
    from nuguide.training.gpu.session import run_session

    run_session(
        chosen.pack,
        chosen.runs,
        chosen.out,
        chosen.max_time,
        run_seconds=dict(chosen.run_time or ()),
        by_steps=chosen.by_steps,
        device=chosen.device,
        say=lambda line: print(line, flush=True),
    )


def _unpack(chosen: argparse.Namespace) -> None:
    from nuguide.training.gpu.unpack import unpack

    for run in unpack(chosen.folder, chosen.out):
        print(run)


if __name__ == "__main__":
    main()

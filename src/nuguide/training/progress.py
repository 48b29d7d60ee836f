"""How far the run in a folder is: its steps, its time, its number format, its end."""

from pathlib import Path

from nuguide.documents import read_json
from nuguide.errors import RecipeError
from nuguide.training.finish import TRAINED_FILE, best_path, last_path, read_checkpoint
from nuguide.training.hardware import PRECISION_KEY, Precision
from nuguide.training.recipe import Recipe
from nuguide.training.trainer import epochs, lost_patience


def trained_elsewhere(out: Path) -> dict[str, float] | None:
    """Return ``steps`` and ``seconds`` of a run that was taken back from a GPU machine.

    Raises
    ------
    RecipeError
        If that record is damaged.
    """
    path = out / TRAINED_FILE
    if not path.is_file():
        return None
    try:
        values = read_json(path)
        return {name: float(values[name]) for name in ("steps", "seconds")}
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise RecipeError(
            f"{path} cannot be read ({type(error).__name__}: {error}); expected the record of a "
            "training on a GPU; take it back again with scripts/train_gpu unpack"
        ) from error


def steps_done(out: Path) -> int:
    """Return the steps that the last checkpoint of a run has seen; 0 if there is none.

    Raises
    ------
    RecipeError
        If that checkpoint is damaged.
    """
    if (there := trained_elsewhere(out)) is not None:
        return int(there["steps"])
    last = last_path(out)
    return int(read_checkpoint(last)["global_step"]) if last.is_file() else 0


def seconds_trained(out: Path) -> float | None:
    """Return the wall time of a run up to its last checkpoint, over all its stops.

    None if there is no checkpoint, or one of before the time was kept.
    """
    if (there := trained_elsewhere(out)) is not None:
        return float(there["seconds"])
    last = last_path(out)
    kept = read_checkpoint(last)["callbacks"].get("Timer") if last.is_file() else None
    return None if kept is None else float(kept["time_elapsed"]["train"])


def precision_of(out: Path) -> Precision:
    """Return the precision that a run was trained with; 32 for one of before it was kept.

    Raises
    ------
    RecipeError
        If its best checkpoint is missing or damaged.
    """
    kept: Precision = read_checkpoint(best_path(out)).get(PRECISION_KEY, "32")
    return kept


def is_finished(out: Path, recipe: Recipe) -> bool:
    """Tell whether ``out`` holds all steps of its recipe, or a training of another machine.

    A training that has lost its patience is finished too.
    """
    if trained_elsewhere(out) is not None:
        return True
    done = steps_done(out)
    if done >= epochs(recipe) * recipe.epoch_steps:
        return True
    return done > 0 and lost_patience(read_checkpoint(last_path(out)))

"""Take back what a GPU machine trained: run folders as if they had been trained here."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from nuguide.documents import read_json
from nuguide.errors import InputError
from nuguide.faults import first_fault
from nuguide.files import make_folder, replacing
from nuguide.training.checkpoint_file import write_checkpoint
from nuguide.training.claim import claim, refuse_another_run, refuse_other_data
from nuguide.training.finish import TRAINED_FILE, best_path, finish, load_student
from nuguide.training.gpu.pieces import read_pieces
from nuguide.training.gpu.session import SCORES_FILE
from nuguide.training.hardware import PRECISION_KEY
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import checked_recipe
from nuguide.training.seen import Seen

ADVICE = "give another --out"


def unpack(folder: Path, out: Path) -> list[Path]:
    """Make a run's folder, with its model and card, of each run whose weights came back.

    Parameters
    ----------
    folder : Path
        What ``run_session`` wrote.
    out : Path
        Gets a folder of each run's name: ``recipe.json``, ``checkpoints/best.ckpt``,
        ``trained.json`` (budget, scores there, history) and ``model/``.

    Returns
    -------
    list of Path
        The runs' folders.

    Raises
    ------
    InputError
        If a file is missing or damaged, a run was not finished, or its student has changed.
    OutputError
        If a folder holds the run of another recipe or on other images, or cannot be written.
    """
    made = []
    for result in _results(folder):
        if not result["weights"]:
            continue
        recipe = checked_recipe(result["recipe"], f"{folder / SCORES_FILE}")
        if not isinstance(recipe, SegmentationRecipe):
            raise InputError(
                f"{recipe.name} is a distillation; expected a segmentation, which a GPU machine "
                "trains; fetch the files of the GPU machine again"
            )
        run = out / recipe.name
        refuse_another_run(run, recipe)
        seen = _seen(result, folder)
        if seen is not None:
            refuse_other_data(run, seen)
        student = _student(recipe, result)
        state = read_pieces(folder, result["weights"], recipe.name)
        claim(run, recipe, seen)
        make_folder(best_path(run).parent, ADVICE)
        checkpoint: dict[str, Any] = {
            "state_dict": {f"network.{key}": x for key, x in state.items()},
            PRECISION_KEY: result["precision"],
        }
        checkpoint["state_dict"] |= {f"guide.{key}": x for key, x in student.items()}
        write_checkpoint(checkpoint, best_path(run), ADVICE)
        with replacing(run / TRAINED_FILE, ADVICE) as aside:
            aside.write_text(json.dumps(result, indent=1), encoding="utf-8")
        finish(run)
        made.append(run)
    return made


def _seen(result: dict[str, Any], folder: Path) -> Seen | None:
    """Return what a run has seen; None if it was packed before that was told."""
    if result.get("seen") is None:
        return None
    try:
        return Seen.model_validate_json(json.dumps(result["seen"]))
    except ValidationError as error:
        raise InputError(
            f"{folder / SCORES_FILE}: seen.{first_fault(error, 'runs')}; expected what was packed; "
            "fetch the files of the GPU machine again"
        ) from error


def _student(recipe: SegmentationRecipe, result: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of a recipe's student, none without one; refuse one that did not travel.

    Raises
    ------
    InputError
        If another student lies in its place by now.
    """
    if recipe.guide.kind != "student":
        return {}
    student, travelled = load_student(Path(recipe.guide.name)), result.get("student_sha256")
    if student.sha256 != travelled:
        raise InputError(
            f"{recipe.name} was trained with the student of sha256 {travelled}, and in "
            f"{recipe.guide.name} lies that of {student.sha256}; expected the one that was packed; "
            "put it back, or pack and train with the new one under another name"
        )
    return student.state_dict()


def _results(folder: Path) -> list[dict[str, Any]]:
    path = folder / SCORES_FILE
    try:
        results = read_json(path)
        unfinished = [each["name"] for each in results if not each["finished"]]
        if not all(isinstance(each["weights"], list) for each in results):
            raise TypeError("weights")
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {error}); expected the scores of a "
            "training on a GPU; fetch the files of the GPU machine again"
        ) from error
    if unfinished:
        raise InputError(
            f"{', '.join(unfinished)} is not finished; expected runs whose time is used up; call "
            "scripts/train_gpu again there, with the same --runs"
        )
    return list(results)

"""From a run's checkpoint to a model or a student: weights, card, scores."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from nuguide import __version__
from nuguide.documents import DocumentError, read_json
from nuguide.errors import RecipeError
from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.guides.weights import UNREADABLE
from nuguide.models.card import Card, GuideSpec
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model, NamedGuide
from nuguide.models.registry import load_card, load_plain
from nuguide.networks.registry import build_network
from nuguide.training.recipe import DistillationRecipe, Recipe, SegmentationRecipe
from nuguide.training.recipe_file import RECIPE_FILE, checked_recipe
from nuguide.training.stated import licence_and_data

CITATION = (
    "B. R. Swain, K. J. Cheoi, J. Ko: SAM Guided Task-Specific Enhanced Nuclei Segmentation in "
    "Digital Pathology, MICCAI 2024, doi 10.1007/978-3-031-72114-4_52"
)


TRAINED_FILE = "trained.json"
"""In a run's folder: how it was trained on another machine (``nuguide.training.gpu``)."""


def load_student(run: Path) -> StudentGuide:
    """Load the best student of a distillation's run, in evaluation mode.

    Raises
    ------
    RecipeError
        If ``run`` is no such run, or has no checkpoint yet.
    """
    recipe = recipe_of(run)
    if not isinstance(recipe, DistillationRecipe):
        raise RecipeError(
            f"{run} is the run of a network; expected that of a distillation; give a student's run"
        )
    student = StudentGuide(teacher=recipe.teacher, mpp=recipe.mpp, **recipe.student.model_dump())
    student.load_state_dict(_part(best_state(run), "student."))
    return student.eval()


def student_of(recipe: SegmentationRecipe) -> StudentGuide:
    """Load the student that guides a training: a run's, or that of the model it begins with.

    A network has learned to read its own student, which lies in the model's file: the run that the
    recipe names need not be there then, and if it is, only teacher and um/px are compared.

    Raises
    ------
    RecipeError
        If there is no such run, or the model has no student or that of another teacher.
    ModelError
        If there is no such model, or it is damaged.
    """
    named = Path(recipe.guide.name)
    if recipe.start is None:
        return load_student(named)
    student = load_plain(recipe.start.model).guide
    if not isinstance(student, StudentGuide):
        raise RecipeError(
            f"the model {recipe.start.model} has no student, the recipe {recipe.name} is guided by "
            "one; expected a model that brings its own; change guide, or begin with another model"
        )
    told = recipe_of(named) if (named / RECIPE_FILE).is_file() else None
    if isinstance(told, DistillationRecipe) and (told.teacher, told.mpp) != (
        student.teacher,
        student.mpp,
    ):
        raise RecipeError(
            f"the model {recipe.start.model} has the {student.name} at {student.mpp:g} um/px, "
            f"{named} is a student of {told.teacher} at {told.mpp:g}; expected the same teacher "
            "and um/px; change guide.name, or begin with another model"
        )
    return student


def load_trained(run: Path) -> Model:
    """Build the model of a run from its best checkpoint.

    Parameters
    ----------
    run : Path
        Folder of a segmentation's training.

    Returns
    -------
    Model
        Its card has the recipe's name, no scores yet, and a digest that saving replaces.

    Raises
    ------
    RecipeError
        If ``run`` is no such run, or has no checkpoint yet.
    """
    recipe = recipe_of(run)
    if not isinstance(recipe, SegmentationRecipe):
        raise RecipeError(
            f"{run} is the run of a student; expected that of a segmentation; give a network's run"
        )
    checkpoint = read_checkpoint(best_path(run))
    state = checkpoint["state_dict"]
    # What was never trained is taken as it was: a moving average of it is off by its rounding.
    still = checkpoint.get("current_model_state", state)
    network = build_network(recipe.network.architecture, **recipe.network.options)
    network.load_state_dict(_part(_averaged(state, still, recipe), "network."))
    guide, spec = _guide(recipe, network, still)
    return Model(network.eval(), guide, _card(run, recipe, network, spec))


def finish(run: Path) -> Path | None:
    """Write the model of a finished segmentation's run into ``run/model``.

    Returns
    -------
    Path or None
        The model's folder; None for the run of a student, which is no model of its own, and for
        that of a control, which would be given its guide's tokens and has never seen them.
    """
    recipe = recipe_of(run)
    if isinstance(recipe, DistillationRecipe) or recipe.guide_control != "guided":
        return None
    save_model(load_trained(run), run / "model")
    return run / "model"


def recipe_of(run: Path) -> Recipe:
    """Read the recipe a run was made with."""
    path = run / RECIPE_FILE
    if not path.is_file():
        raise RecipeError(
            f"{run} is no run of a training; expected a folder with {RECIPE_FILE}; "
            "check the path, or train it first"
        )
    try:
        values = read_json(path)
    except DocumentError as error:
        raise RecipeError(
            f"{path} cannot be read as JSON ({error}); expected the recipe of a run; "
            "train anew into another folder"
        ) from error
    return checked_recipe(values, str(path))


def best_path(run: Path) -> Path:
    """Return where a run keeps the checkpoint that validated best."""
    return run / "checkpoints" / "best.ckpt"


def last_path(run: Path) -> Path:
    """Return where a run keeps the checkpoint of its last whole epoch."""
    return run / "checkpoints" / "last.ckpt"


def best_state(run: Path) -> dict[str, torch.Tensor]:
    """Read the averaged weights of the checkpoint that validated best."""
    state: dict[str, torch.Tensor] = read_checkpoint(best_path(run))["state_dict"]
    return state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of Lightning's as plain values and tensors, on the CPU.

    Raises
    ------
    RecipeError
        If it is missing or damaged.
    """
    if not path.is_file():
        raise RecipeError(
            f"{path.parent.parent} has no {path.name} yet; expected at least one whole epoch; "
            "go on training"
        )
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        # torch's own text advises to unpickle without care: it is not passed on.
        raise RecipeError(
            f"{path} cannot be read ({type(error).__name__}); expected a checkpoint of a run; "
            "train anew into another folder"
        ) from error
    return checkpoint


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _averaged(
    state: dict[str, torch.Tensor], still: dict[str, torch.Tensor], recipe: SegmentationRecipe
) -> dict[str, torch.Tensor]:
    if recipe.start is None or not recipe.start.train:
        return state
    trained = tuple(f"network.heads.{name}." for name in recipe.start.train)
    return still | {key: value for key, value in state.items() if key.startswith(trained)}


def _guide(
    recipe: SegmentationRecipe, network: nn.Module, state: dict[str, torch.Tensor]
) -> tuple[Guide | None, GuideSpec]:
    if not getattr(network, "reads_tokens", False):
        return None, GuideSpec()  # a guide of the training alone is no part of the model
    if recipe.guide.kind == "student":
        student = student_of(recipe)
        # The network was trained with what its own checkpoint holds, whatever became of the other.
        student.load_state_dict(_part(state, "guide."))
        return student.eval(), GuideSpec(kind="student", name=student.name, options=student.options)
    return NamedGuide(recipe.guide.name, recipe.guide.field_um), recipe.guide


def _card(run: Path, recipe: SegmentationRecipe, network: nn.Module, guide: GuideSpec) -> Card:
    licence, data = licence_and_data(run, recipe)
    before = () if recipe.start is None else load_card(recipe.start.model).training_data
    return Card(
        name=recipe.name,
        version=__version__,
        description=f"{recipe.network.architecture} trained by the recipe {recipe.name}",
        licence=licence,
        training_data=tuple(dict.fromkeys((*before, *data))),
        mpp=recipe.mpp,
        classes=recipe.classes or ("nucleus",),
        tile_px=getattr(network, "tile_px", None),
        network=recipe.network,
        guide=guide,
        decoding=recipe.decoding,
        sha256="0" * 64,
        citation=CITATION,
    )

"""From a run's checkpoint to a model or a student: weights, card, scores."""

import json
from pathlib import Path

import torch
from torch import nn

from nuguide import __version__
from nuguide.errors import RecipeError
from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.models.card import Card, GuideSpec
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model, NamedGuide
from nuguide.networks.fusion import FusionMode
from nuguide.networks.registry import build_network
from nuguide.training.recipe import (
    RECIPE_FILE,
    DistillationRecipe,
    Recipe,
    SegmentationRecipe,
    checked_recipe,
)

CITATION = (
    "B. R. Swain, K. J. Cheoi, J. Ko: SAM Guided Task-Specific Enhanced Nuclei Segmentation in "
    "Digital Pathology, MICCAI 2024, doi 10.1007/978-3-031-72114-4_52"
)


def load_student(run: Path) -> StudentGuide:
    """Load the best student of a distillation's run, in evaluation mode."""
    recipe = recipe_of(run)
    if not isinstance(recipe, DistillationRecipe):
        raise RecipeError(f"{run} is the run of a network; expected that of a distillation")
    student = StudentGuide(teacher=recipe.teacher, mpp=recipe.mpp, **recipe.student)
    student.load_state_dict(_part(best_state(run), "student."))
    return student.eval()


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
    """
    recipe = recipe_of(run)
    if not isinstance(recipe, SegmentationRecipe):
        raise RecipeError(f"{run} is the run of a student; expected that of a segmentation")
    state = best_state(run)
    network = build_network(recipe.network.architecture, **recipe.network.options)
    network.load_state_dict(_part(state, "network."))
    guide, spec = _guide(recipe, state)
    return Model(network.eval(), guide, _card(recipe, network, spec))


def finish(run: Path) -> Path | None:
    """Write the model of a finished segmentation's run into ``run/model``.

    Returns
    -------
    Path or None
        The model's folder; None for the run of a student, which is no model of its own.
    """
    if isinstance(recipe_of(run), DistillationRecipe):
        return None
    save_model(load_trained(run), run / "model")
    return run / "model"


def recipe_of(run: Path) -> Recipe:
    """Read the recipe a run was made with."""
    path = run / RECIPE_FILE
    if not path.is_file():
        raise RecipeError(f"{run} is no run of a training; expected a folder with {RECIPE_FILE}")
    return checked_recipe(json.loads(path.read_text()), str(path))


def best_state(run: Path) -> dict[str, torch.Tensor]:
    """Read the averaged weights of the checkpoint that validated best."""
    path = run / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise RecipeError(f"{run} has no {path.name} yet; expected one full epoch; go on training")
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)[
        "state_dict"
    ]
    return state


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _guide(
    recipe: SegmentationRecipe, state: dict[str, torch.Tensor]
) -> tuple[Guide | None, GuideSpec]:
    if recipe.guide.kind == "student":
        student = load_student(Path(recipe.guide.name))
        # The network was trained with what its own checkpoint holds, whatever became of the other.
        student.load_state_dict(_part(state, "guide."))
        return student.eval(), GuideSpec(kind="student", name=student.name, options=student.options)
    if (
        recipe.guide.kind == "named"
        and FusionMode(str(recipe.network.options.get("fusion", "none"))).reads_tokens
    ):
        return NamedGuide(recipe.guide.name, recipe.guide.field_um), recipe.guide
    return None, GuideSpec()  # a guide of the training alone is no part of the model


def _card(recipe: SegmentationRecipe, network: nn.Module, guide: GuideSpec) -> Card:
    return Card(
        name=recipe.name,
        version=__version__,
        description=f"{recipe.network.architecture} trained by the recipe {recipe.name}",
        licence=recipe.licence,
        training_data=recipe.training_data,
        mpp=recipe.mpp,
        tile_px=getattr(network, "tile_px", None),
        network=recipe.network,
        guide=guide,
        decoding=recipe.decoding,
        sha256="0" * 64,
        citation=CITATION,
    )

"""What must hold between a recipe, its network and its guide before anything is trained."""

from torch import nn

from nuguide.errors import RecipeError
from nuguide.guides.student import StudentGuide
from nuguide.training.recipe import SegmentationRecipe


def check_network(network: nn.Module, recipe: SegmentationRecipe) -> None:
    """Refuse a network that reads tokens where no guide makes them.

    Raises
    ------
    RecipeError
        If it does.
    """
    if recipe.guide.kind == "none" and getattr(network, "reads_tokens", False):
        raise RecipeError(
            f"the network of the recipe {recipe.name} reads tokens, its guide is 'none'; "
            "expected a guide that makes them; set guide.kind and guide.name"
        )


def check_student(student: StudentGuide, recipe: SegmentationRecipe) -> None:
    """Refuse a student that reads another um/px than the recipe's network.

    Raises
    ------
    RecipeError
        If it does.
    """
    if student.mpp != recipe.mpp:
        raise RecipeError(
            f"the student in {recipe.guide.name} reads {student.mpp:g} um/px; expected "
            f"{recipe.mpp:g}, the recipe's; change mpp, or distil a student at it"
        )

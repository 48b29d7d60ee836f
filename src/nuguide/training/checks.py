"""What must hold between a recipe, its data, its network and its guide for a training."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import classes_of
from nuguide.errors import DataSetError, RecipeError
from nuguide.guides.student import StudentGuide
from nuguide.training.recipe import Recipe, SegmentationRecipe


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


_TERMS = {
    "nuclei": ("cross_entropy", "focal", "dice", "released_dice", "iou", "ms_ssim"),
    "distance": ("distance",),
    "offsets": ("offsets",),
    "types": ("types",),
}
"""Of each head, the terms of the loss that it learns by."""


def check_terms(recipe: SegmentationRecipe) -> None:
    """Refuse heads, terms of the loss and a guide of which one is there for nothing.

    Raises
    ------
    RecipeError
        If there is no head ``nuclei``, a head that is trained has no loss, tokens have a loss that
        nothing predicts, or a guide makes tokens that nothing reads.
    """
    options, losses = recipe.network.options, recipe.losses
    heads, fusion = options.get("heads", ("nuclei",)), options.get("fusion", "none")
    named = tuple(map(str, heads)) if isinstance(heads, list | tuple) else ()
    if "nuclei" not in named:
        raise RecipeError(
            f"network.options.heads of the recipe {recipe.name} is {list(named) or heads!r}; "
            "expected a list with 'nuclei' in it, which tells where nuclei are; add it"
        )
    for head in (recipe.start.train if recipe.start else ()) or named:
        terms = _TERMS.get(head, ())
        if terms and not any(getattr(losses, term) for term in terms):
            raise RecipeError(
                f"the head {head!r} of the recipe {recipe.name} has no loss, so it would stay as "
                f"it was drawn; expected a weight of {' or '.join(terms)}; set "
                f"losses.{terms[0]}, or leave out the head"
            )
    if losses.tokens and (fusion != "distil" or recipe.guide.kind == "none"):
        raise RecipeError(
            f"losses.tokens is {losses.tokens:g} in the recipe {recipe.name}, with fusion "
            f"{fusion!r} and a guide of kind {recipe.guide.kind!r}; expected 0, or tokens that are "
            "predicted and a guide that makes them; set network.options.fusion=distil and guide"
        )
    if recipe.guide.kind != "none" and (
        fusion == "none" or (fusion, losses.tokens) == ("distil", 0)
    ):
        raise RecipeError(
            f"the guide {recipe.guide.name!r} of the recipe {recipe.name} is read by nothing: "
            f"fusion is {fusion!r} and losses.tokens {losses.tokens:g}; expected a network that is "
            "guided, or no guide; set network.options.fusion, such as cross, or guide.kind=none"
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


def check_classes(
    recipe: SegmentationRecipe,
    data: Path | Sequence[Path],
    samples: list[Sample],
    validation: list[Sample],
    mpp: float | None = None,
) -> None:
    """Refuse data whose types are not those that the recipe names; it may leave them unnamed.

    Raises
    ------
    RecipeError
        If they are not, or the images to fit on have none.
    """
    if not recipe.classes:
        return
    named = classes_of(data, mpp)
    if named and named != recipe.classes:
        raise RecipeError(
            f"the data have the classes {', '.join(named)}, the recipe {recipe.name} "
            f"{', '.join(recipe.classes)}; expected the same in the same order; change classes"
        )
    found = _types_of(samples)
    greatest = max(found | _types_of(validation), default=0)
    if not found or greatest > len(recipe.classes):
        got = f"types up to {greatest}" if found else "no types"
        raise RecipeError(
            f"the data have {got}, the recipe {recipe.name} has {len(recipe.classes)} classes; "
            "expected types that it names; add a data set that has them, or leave out the head "
            "'types', n_types and classes"
        )


def _types_of(samples: list[Sample]) -> set[int]:
    """Return the greatest type of each image that has any types."""
    return {int(sample.types.max()) for sample in samples if sample.types is not None}


def check_annotated(samples: Iterable[Sample]) -> None:
    """Refuse an image of which nothing is annotated: there is nothing to learn and none to score.

    Raises
    ------
    DataSetError
        If the ignore mask of one covers all of it.
    """
    for sample in samples:
        if sample.ignore is not None and sample.ignore.all():
            raise DataSetError(
                f"the ignore mask of {sample.name} covers all of the image; expected some of it to "
                "be annotated; take the image out, or correct its mask"
            )


def check_validation(recipe: SegmentationRecipe, validation: list[Sample]) -> None:
    """Refuse a training of types alone where no image of validation has any.

    Raises
    ------
    RecipeError
        If none has.
    """
    if recipe.trains_types_alone and all(sample.types is None for sample in validation):
        raise RecipeError(
            f"the images of validation have no types, the recipe {recipe.name} trains nothing "
            "else; expected a type map for one at least; add a data set that has them"
        )


def check_finite(module: nn.Module, recipe: Recipe, steps: int) -> None:
    """Refuse to go on with a training that has diverged.

    Raises
    ------
    RecipeError
        If some weights or statistics are no finite numbers any more.
    """
    if not all(torch.isfinite(each).all() for each in (*module.parameters(), *module.buffers())):
        raise RecipeError(
            f"{recipe.name}: the weights hold NaN or infinite values after {steps} steps; expected "
            "finite numbers; lower learning_rate, or raise warmup_steps"
        )

"""A training that begins with a model's weights, and may leave all but some heads as they are."""

from torch import nn

from nuguide.errors import RecipeError
from nuguide.guides.weights import misfit
from nuguide.models.card import Card
from nuguide.models.registry import load_plain
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_parts import Start


def begin_with(network: nn.Module, start: Start, recipe: SegmentationRecipe) -> None:
    """Give a network the weights of a model, and freeze what is not to be trained.

    Parameters
    ----------
    network : Module
        As the recipe builds it. A head that the model does not have stays as it is.
    start : Start
        The model, and the heads that are trained.
    recipe : SegmentationRecipe
        Of the training; model and recipe are of one um/px and one guide (a student is the
        model's own: ``nuguide.training.finish.student_of``).

    Raises
    ------
    RecipeError
        If the model does not fit.
    ModelError
        If there is no such model, or it is damaged.
    """
    model = load_plain(start.model)
    _check_card(model.card, recipe)
    state, own = model.network.state_dict(), network.state_dict()
    known = {_head_of(key) for key in state}
    # Counters of batch norm may be missing, as wherever a model is read.
    kept = (k for k in own if _head_of(k) not in known or k.endswith("num_batches_tracked"))
    filled = {key: own[key] for key in kept} | state
    if fault := misfit(network, filled):
        raise RecipeError(
            f"the model {start.model} {fault}; expected weights for the recipe's network, but for "
            "heads that it does not have; take network.options from its card"
        )
    network.load_state_dict(filled)
    if start.train:
        for key, parameter in network.named_parameters():
            parameter.requires_grad_(_head_of(key) in start.train)
        network.eval()  # no statistics of batches, no dropout


def _head_of(key: str) -> str:
    """Return the name of the head that a weight belongs to; empty for all that is no head."""
    return key.split(".")[1] if key.startswith("heads.") else ""


def _check_card(card: Card, recipe: SegmentationRecipe) -> None:
    if card.mpp != recipe.mpp:
        raise RecipeError(
            f"the model {card.name} works at {card.mpp:g} um/px, the recipe {recipe.name} at "
            f"{recipe.mpp:g}; expected one um/px; change mpp"
        )
    both_students = card.guide.kind == recipe.guide.kind == "student"  # one lies here, one there
    if card.guide != recipe.guide and not both_students:
        raise RecipeError(
            f"the model {card.name} has a guide of kind {card.guide.kind!r} "
            f"({card.guide.name or 'no name'}), the recipe {recipe.name} of kind "
            f"{recipe.guide.kind!r} ({recipe.guide.name or 'no name'}); expected the same; change "
            "guide, or begin with another model"
        )

"""Between a model and one trained on from it: a weighted mean of their weights.

A network that is trained on with a laboratory's own tissue learns that, and unlearns some of what
it knew. Weight by weight, the mean of before and after keeps most of both, at no cost in use.
"""

import torch
from torch import nn

from nuguide import __version__
from nuguide.errors import ModelError
from nuguide.guides.student import StudentGuide
from nuguide.guides.weights import misfit
from nuguide.models.card import Card, Options
from nuguide.models.checkpoint import refuse_folded
from nuguide.models.licence import NOT_STATED
from nuguide.models.model import Model
from nuguide.networks.registry import build_network

State = dict[str, torch.Tensor]

LEAST_COSINE = 0.5
"""Between the weights of two networks of one origin; of strangers it is about 0."""

_OF_HEADS = {"heads", "n_types", "types_from"}
_OF_TRAINING = {"dropout", "token_noise", "token_dropout"}
_MAY_DIFFER = _OF_HEADS | _OF_TRAINING
"""Options in which the networks may differ: heads that one lacks, and what training alone reads."""


def blend(first: Model, second: Model, share: float = 0.5) -> Model:
    """Blend the weights of two models, of which one was trained on from the other.

    Parameters
    ----------
    first : Model
        In the plain form, see ``nuguide.models.registry.load_plain``: as a rule what the other
        began with.
    second : Model
        The same network, guide and um/px. Its heads are the blend's, those that the first does
        not have as they are, and so is its decoding.
    share : float
        Of the second, 0..1.

    Returns
    -------
    Model
        Ready to be saved; without scores and calibration, for nothing was measured of it yet, and
        with a digest that saving replaces.

    Raises
    ------
    ModelError
        If the models do not go together or are folded for inference, or the share is out of range.

    Notes
    -----
    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022: there, as here, the networks
    between the two lose less of each one's tissue than a line between their scores would. That
    holds for networks of one origin alone, so others are refused. Batch norm's statistics are
    blended as weights are.
    """
    if not 0 <= share <= 1:
        raise ModelError(
            f"the share of {second.card.name} is {share:g}; expected 0 to 1; 0.5 is a good one"
        )
    for each in (first, second):
        refuse_folded(each)
    _check_cards(first.card, second.card)
    _check_guides(first, second)
    before, after = first.network.state_dict(), second.network.state_dict()
    shared = {key: value for key, value in before.items() if key in after or not _of_head(key)}
    if fault := misfit(second.network, after | shared):
        raise ModelError(
            f"the model {first.card.name} {fault}, for the network of {second.card.name}; expected "
            "a model and one that was trained on from it; give two such models"
        )
    _check_origin(first.card, second.card, _cosine(before, after))
    spec = second.card.network
    network = build_network(spec.architecture, **spec.options)
    network.load_state_dict(_between(before, after, share))
    card = _card(first.card, second.card, share)
    return Model(network.eval().requires_grad_(False), second.guide, card)


def _of_head(key: str) -> bool:
    return key.startswith("heads.")


def _between(before: State, after: State, share: float) -> State:
    return {
        key: torch.lerp(before[key].float(), value.float(), share).to(value.dtype)
        if key in before and value.is_floating_point()
        else value
        for key, value in after.items()
    }


def _cosine(before: State, after: State) -> float:
    """Return the cosine between the convolutions' weights that both have."""
    pairs = [(before[key], after[key]) for key in before if before[key].dim() > 1 and key in after]
    one, other = (torch.cat([pair[side].flatten().float() for pair in pairs]) for side in (0, 1))
    return float(nn.functional.cosine_similarity(one, other, dim=0))


def _check_cards(first: Card, second: Card) -> None:
    for what, one, other in (
        ("um/px", first.mpp, second.mpp),
        ("order of channels", first.channel_order, second.channel_order),
        ("side of tiles", first.tile_px, second.tile_px),
        ("guide", first.guide, second.guide),
        ("network", _network_of(first), _network_of(second)),
        ("types", first.types or second.types, second.types or first.types),
    ):
        if one != other:
            raise ModelError(
                f"{first.name} and {second.name} differ in their {what} ({one} and {other}); "
                "expected a model and one that was trained on from it; give two such models"
            )


def _network_of(card: Card) -> tuple[str, Options]:
    options = {key: each for key, each in card.network.options.items() if key not in _MAY_DIFFER}
    return card.network.architecture, options


def _check_guides(first: Model, second: Model) -> None:
    if not (isinstance(first.guide, StudentGuide) and isinstance(second.guide, StudentGuide)):
        return
    if first.guide.sha256 != second.guide.sha256:
        raise ModelError(
            f"{first.card.name} and {second.card.name} have two different students for guides; "
            "expected one, which both read; give a model and one that was trained on from it"
        )


def _check_origin(first: Card, second: Card, cosine: float) -> None:
    if cosine < LEAST_COSINE:
        raise ModelError(
            f"{first.name} and {second.name} have little in common (cosine of their weights "
            f"{cosine:.2f}); expected networks of one origin, {LEAST_COSINE:g} or more; train one "
            f'on from the other: start.model = "{first.name}" in a recipe'
        )


def _card(first: Card, second: Card, share: float) -> Card:
    of_both = f"{share:g} of {second.name} and {1 - share:g} of {first.name}"
    same_licence = first.licence == second.licence
    unknown = " and ".join(each.name for each in (first, second) if not each.training_data)
    of_data = f" Not known: what {unknown} was trained on." if unknown else ""
    return second.model_copy(
        update={
            "name": f"{first.name}-{second.name}"[:64],
            "version": __version__,
            "description": f"{second.network.architecture}, weight by weight {of_both}",
            "licence": first.licence if same_licence else NOT_STATED,
            "training_data": tuple(dict.fromkeys((*first.training_data, *second.training_data))),
            "sha256": "0" * 64,
            "calibration": None,
            "scores": (),
            "notes": f"Weights blended, {of_both}, whose files have the sha256 {second.sha256} and "
            f"{first.sha256}.{of_data}",
        }
    )

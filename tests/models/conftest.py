"""Small models that the tests of this room share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nuguide.guides.student import StudentGuide
from nuguide.models.card import Card
from nuguide.models.model import Model
from nuguide.networks.registry import build_network

NETWORK = {"architecture": "unet", "options": {"width": 2, "heads": ("nuclei", "distance")}}
STUDENT = {"teacher": "tinyvit-sam", "mpp": 0.5, "widths": (4, 4, 4, 4), "blocks": 1}


def _card(**changes: Any) -> Card:
    fields: dict[str, Any] = {
        "name": "small",
        "version": "1",
        "description": "A small random network",
        "licence": "CC0-1.0",
        "mpp": 0.5,
        "network": NETWORK,
        "sha256": "0" * 64,
    }
    return Card(**(fields | changes))


@pytest.fixture
def make_card() -> Callable[..., Card]:
    return _card


@pytest.fixture
def unguided() -> Model:
    torch.manual_seed(0)
    network = build_network("unet", width=2, heads=("nuclei", "distance"))
    return Model(network=network.eval(), guide=None, card=_card())


@pytest.fixture
def guided() -> Model:
    torch.manual_seed(1)
    options: dict[str, Any] = {"width": 2, "fusion": "cross", "window": 4}
    return Model(
        network=build_network("eunet3plus", **options).eval(),
        guide=StudentGuide("tinyvit-sam", 0.5, (4, 4, 4, 4), 1).eval(),
        card=_card(
            name="small-guided",
            network={"architecture": "eunet3plus", "options": options},
            guide={"kind": "student", "name": "student", "options": STUDENT},
        ),
    )

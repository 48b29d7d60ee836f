"""Small models of every kind that a backend meets, as ``nuguide.load`` returns them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from nuguide.guides.student import StudentGuide
from nuguide.models.card import Card
from nuguide.models.inference import for_inference
from nuguide.models.model import Model
from nuguide.networks.registry import build_network

HEADS = ("nuclei", "distance", "types")


def _settled(network: nn.Module) -> nn.Module:
    """Give batch norm statistics that it did not start with, and zero weights something to do."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


def _model(
    architecture: str, options: dict[str, Any], student: bool = False, **changes: Any
) -> Model:
    torch.manual_seed(0)
    options = {"width": 2, "heads": HEADS, "n_types": 3, **options}
    guide = _settled(StudentGuide("tinyvit-sam", 0.5, (4, 4, 4, 4), 1)) if student else None
    card = Card(
        name="small",
        version="1",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        classes=("one", "two", "three"),
        network={"architecture": architecture, "options": options},
        sha256="0" * 64,
        **changes,
    )
    return for_inference(Model(_settled(build_network(architecture, **options)), guide, card))


@pytest.fixture
def make_model() -> Callable[..., Model]:
    return _model


@pytest.fixture
def unguided() -> Model:
    return _model("unet", {})


@pytest.fixture
def guided() -> Model:
    """Fused at level 3: windows of attention end within images that are not on the grid."""
    options = {"fusion": "cross", "fusion_level": 3, "window": 4, "types_from": "encoder"}
    return _model("eunet3plus", options, student=True)

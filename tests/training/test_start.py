from pathlib import Path

import pytest
import torch

from nuguide.errors import RecipeError
from nuguide.models.card import Card, GuideSpec, NetworkSpec
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.models.registry import load_plain
from nuguide.networks.registry import build_network
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import checked_recipe
from nuguide.training.recipe_parts import Start
from nuguide.training.start import begin_with

OPTIONS = {"width": 2, "heads": ("nuclei", "distance")}


def built(**options) -> torch.nn.Module:
    torch.manual_seed(7)
    return build_network("eunet3plus", **OPTIONS | options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write a model of random weights."""
    where = tmp_path_factory.mktemp("models") / "before"
    torch.manual_seed(3)
    network = build_network("eunet3plus", **OPTIONS)
    card = Card(
        name="before",
        version="1",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        classes=("nucleus",),
        network=NetworkSpec(architecture="eunet3plus", options=OPTIONS),
        guide=GuideSpec(),
        sha256="0" * 64,
        citation="none",
    )
    save_model(Model(network.eval(), None, card), where)
    return where


def recipe(**changes) -> SegmentationRecipe:
    network = {"architecture": "eunet3plus", "options": OPTIONS}
    values = {"kind": "segmentation", "name": "begun", "network": network}
    return checked_recipe(values | changes, "test")


def test_a_network_begins_with_the_models_weights_and_trains_all_of_them(folder: Path):
    network = built()
    begin_with(network, Start(model=str(folder)), recipe())
    torch.manual_seed(3)
    for key, value in build_network("eunet3plus", **OPTIONS).state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.training


def test_a_head_that_the_model_lacks_stays_as_it_was_and_may_be_trained_alone(folder: Path):
    more = {"heads": ("nuclei", "distance", "types"), "n_types": 3}
    network, untouched = built(**more), built(**more)
    begin_with(network, Start(model=str(folder), train=("types",)), recipe())
    assert torch.equal(network.heads["types"].weight, untouched.heads["types"].weight)
    assert not torch.equal(network.heads["nuclei"].weight, untouched.heads["nuclei"].weight)
    trained = {key for key, each in network.named_parameters() if each.requires_grad}
    assert trained == {"heads.types.weight", "heads.types.bias"}
    assert not any(module.training for module in network.modules())


def test_a_model_without_the_counters_of_batch_norm_is_one_to_begin_with(folder: Path, monkeypatch):
    model = load_plain(folder)
    state = model.network.state_dict()
    bare = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(bare) < len(state)
    monkeypatch.setattr(model.network, "state_dict", lambda: bare)
    monkeypatch.setattr("nuguide.training.start.load_plain", lambda _: model)
    network = built()
    begin_with(network, Start(model=str(folder)), recipe())
    assert all(torch.equal(network.state_dict()[key], value) for key, value in bare.items())


def test_another_network_scale_or_guide_is_refused(folder: Path):
    start = Start(model=str(folder))
    with pytest.raises(RecipeError, match="expected weights for the recipe's network"):
        begin_with(built(width=4), start, recipe())
    with pytest.raises(RecipeError, match=r"works at 0\.5 um/px, the recipe begun at 0\.25"):
        begin_with(built(), start, recipe(mpp=0.25))
    guide = {"kind": "named", "name": "tinyvit-sam"}
    with pytest.raises(RecipeError, match=r"has a guide of kind 'none' \(no name\)"):
        begin_with(built(), start, recipe(guide=guide))

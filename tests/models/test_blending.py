from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nuguide.errors import ModelError
from nuguide.models.blending import blend
from nuguide.models.calibration import Calibration
from nuguide.models.card import Card
from nuguide.models.checkpoint import load_model_folder, save_model
from nuguide.models.inference import for_inference
from nuguide.models.model import Model
from nuguide.models.registry import load_card, load_plain
from nuguide.networks.registry import build_network

WITH_TYPES = {"heads": ("nuclei", "distance", "types"), "n_types": 2}
TYPES = ("one", "other")


def moved(model: Model, by: float = 0.1) -> Model:
    """Return a model as if it had been trained on: every weight a little further."""
    spec = model.card.network
    network = build_network(spec.architecture, **spec.options)
    generator = torch.Generator().manual_seed(3)
    state = {
        key: value + by * value.abs().mean() * torch.randn(value.shape, generator=generator)
        if value.dim() > 1
        else value
        for key, value in model.network.state_dict().items()
    }
    network.load_state_dict(state)
    return replace(model, network=network.eval(), card=model.card.model_copy(update={"name": "on"}))


def typed(model: Model) -> Model:
    """Return a model with one more head and the weights of another for the rest."""
    options = {**model.card.network.options, **WITH_TYPES}
    network = build_network("unet", **options).eval()
    network.load_state_dict(network.state_dict() | moved(model).network.state_dict())
    spec = model.card.network.model_copy(update={"options": options})
    card = model.card.model_copy(update={"name": "typed", "network": spec, "classes": TYPES})
    return Model(network, None, card)


@pytest.mark.parametrize("name", ["unguided", "guided"])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_blend_lies_on_the_line_between_both(
    name: str, share: float, request: pytest.FixtureRequest
) -> None:
    first: Model = request.getfixturevalue(name)
    second = moved(first)
    found = blend(first, second, share).network.state_dict()
    before, after = first.network.state_dict(), second.network.state_dict()
    assert found.keys() == before.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)
    for key, value in found.items():
        assert value.dtype == after[key].dtype
        expected = (1 - share) * before[key] + share * after[key]
        torch.testing.assert_close(value, expected.to(value.dtype))


def test_statistics_of_batch_norm_are_blended_and_counters_are_the_seconds(unguided: Model) -> None:
    second = moved(unguided)
    state = second.network.state_dict()
    (mean, *_) = (key for key in state if key.endswith("running_mean"))
    (counter, *_) = (key for key in state if key.endswith("num_batches_tracked"))
    state[mean] += 1.0
    state[counter] += 7
    found = blend(unguided, second, 0.25).network.state_dict()
    torch.testing.assert_close(found[mean], unguided.network.state_dict()[mean] + 0.25)
    assert found[counter] == state[counter]


def test_a_head_that_the_first_lacks_is_the_seconds(unguided: Model) -> None:
    second = typed(unguided)
    found = blend(unguided, second, 0.25)
    state = second.network.state_dict()
    heads = [key for key in state if key.startswith("heads.types.")]
    assert heads
    assert all(torch.equal(found.network.state_dict()[key], state[key]) for key in heads)
    assert found.card.types == TYPES


def test_a_head_that_the_second_lacks_is_left_out(unguided: Model) -> None:
    first = typed(unguided)
    found = blend(first, unguided, 0.25)
    assert found.card.types == ()
    assert found.card.network == unguided.card.network
    before, after = first.network.state_dict(), unguided.network.state_dict()
    for key, value in found.network.state_dict().items():
        expected = 0.75 * before[key] + 0.25 * after[key]
        torch.testing.assert_close(value, expected.to(value.dtype))


def test_a_blend_can_be_saved_and_its_card_says_what_it_is(unguided: Model, tmp_path: Path) -> None:
    data = {"licence": "MIT", "split": "all", "n_images": 2, "citation": "A"}
    cards = [
        Card.model_validate(
            unguided.card.model_dump()
            | {"name": name, "training_data": ({"name": f"set {name}", **data},), **more}
        )
        for name, more in (
            ("before", {"sha256": "a" * 64}),
            (
                "after",
                {
                    "sha256": "b" * 64,
                    "decoding": {"prominence": 0.3},
                    "calibration": Calibration(slope=1, intercept=0, n=9, data="x").model_dump(),
                },
            ),
        )
    ]
    second = moved(unguided)
    both = blend(replace(unguided, card=cards[0]), replace(second, card=cards[1]), 0.25)
    assert both.card.sha256 == "0" * 64, "neither's, whatever a run of it would record"
    save_model(both, tmp_path / "model")
    card = load_model_folder(tmp_path / "model").card
    assert card.name == "before-after"
    assert card.licence == "CC0-1.0"
    assert [each.name for each in card.training_data] == ["set before", "set after"]
    assert card.decoding.prominence == 0.3
    assert card.calibration is None
    assert "0.25 of after and 0.75 of before" in card.notes
    assert all(digest in card.notes for digest in ("a" * 64, "b" * 64))


def test_the_default_is_what_its_card_says() -> None:
    """Half of ``broad`` and half of ``monuseg``, but for what rounding to float16 takes."""
    expected = blend(load_plain("broad"), load_plain("monuseg"), 0.5)
    found = load_plain("default")
    state = expected.network.state_dict()
    assert found.network.state_dict().keys() == state.keys()
    for key, value in found.network.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=2**-11, atol=2**-24)
    assert all(each.sha256 in expected.card.notes for each in map(load_card, ("broad", "monuseg")))
    assert found.card.decoding == load_card("monuseg").decoding
    assert {each.name for each in found.card.training_data} == {"MoNuSeg 2018", "CoNSeP"}


def test_two_licences_are_none(unguided: Model) -> None:
    second = moved(unguided)
    second = replace(second, card=second.card.model_copy(update={"licence": "MIT"}))
    assert blend(unguided, second).card.licence == "not stated"


@pytest.mark.parametrize("name", ["unguided", "guided"])
def test_a_model_folded_for_inference_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    plain: Model = request.getfixturevalue(name)
    folded = for_inference(plain)
    for first, second in ((folded, folded), (plain, folded), (folded, plain)):
        with pytest.raises(ModelError, match="folded for inference; expected its plain form"):
            blend(first, second)


def test_what_training_alone_reads_may_differ(guided: Model) -> None:
    second = moved(guided)
    options = {**guided.card.network.options, "dropout": 0.5, "token_noise": 0.1}
    spec = second.card.network.model_copy(update={"options": options})
    card = second.card.model_copy(update={"network": spec})
    assert blend(guided, replace(second, card=card)).card.network.options == options


def test_data_that_are_not_known_are_told(unguided: Model) -> None:
    data = {"licence": "MIT", "split": "all", "n_images": 2, "citation": "A"}
    told = unguided.card.model_dump() | {"training_data": ({"name": "mine", **data},)}
    known = replace(moved(unguided), card=Card.model_validate(told | {"name": "on"}))
    assert "Not known: what small was trained on." in blend(unguided, known).card.notes
    assert "Not known" not in blend(known, known).card.notes


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float, unguided: Model) -> None:
    with pytest.raises(ModelError, match="expected 0 to 1"):
        blend(unguided, moved(unguided), share)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("um/px", {"mpp": 0.25}),
        ("order of channels", {"channel_order": "bgr"}),
        ("network", {"network": {"architecture": "unet", "options": {"width": 4}}}),
    ],
)
def test_models_of_two_kinds_are_refused(
    what: str, change: dict[str, object], unguided: Model, make_card: Callable[..., Card]
) -> None:
    with pytest.raises(ModelError, match=f"differ in their {what}"):
        blend(unguided, replace(moved(unguided), card=make_card(name="on", **change)))


def test_other_types_are_refused(unguided: Model) -> None:
    second = typed(unguided)
    others = replace(second, card=second.card.model_copy(update={"classes": ("a", "b")}))
    with pytest.raises(ModelError, match="differ in their types"):
        blend(second, others)


def test_networks_of_two_origins_are_refused(unguided: Model) -> None:
    torch.manual_seed(8)
    stranger = build_network("unet", **unguided.card.network.options).eval()
    with pytest.raises(ModelError, match="little in common"):
        blend(unguided, replace(unguided, network=stranger))


def test_two_students_are_refused(guided: Model) -> None:
    second = moved(guided)
    torch.manual_seed(5)
    other = type(guided.guide)("tinyvit-sam", 0.5, (4, 4, 4, 4), 1).eval()
    with pytest.raises(ModelError, match="two different students"):
        blend(guided, replace(second, guide=other))

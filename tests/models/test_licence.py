import pytest

from nuguide.errors import ModelError
from nuguide.guides.registry import GUIDES
from nuguide.models.card import Card, GuideSpec, NetworkSpec, TrainingData
from nuguide.models.licence import (
    CommercialUse,
    commercial_use,
    require_commercial_use,
    terms_of,
)


def card(licence: str, guide: str = "", data: str = "") -> Card:
    seen = TrainingData(name="set", licence=data or "x", split="train", n_images=1, citation="A")
    return Card(
        name="some",
        version="1",
        description="a network",
        licence=licence,
        mpp=0.5,
        network=NetworkSpec(architecture="unet"),
        guide=GuideSpec(kind="named", name=guide) if guide else GuideSpec(),
        training_data=(seen,) if data else (),
        sha256="0" * 64,
    )


@pytest.mark.parametrize(
    ("licence", "use"),
    [
        ("CC0-1.0", "allowed"),
        ("CC-BY-4.0", "allowed"),
        ("CC BY-SA 4.0", "allowed"),
        ("mit", "allowed"),
        ("MIT (as the package declares)", "allowed"),
        ("Apache-2.0", "allowed"),
        ("BSD-3-Clause", "allowed"),
        ("CC-BY-NC-SA-4.0", "not allowed"),
        ("CC BY-NC 4.0", "not allowed"),
        ("cc-by-nc-nd-3.0", "not allowed"),
        ("not stated for the weights; the code they came with is MIT", "not stated"),
        ("see its publisher", "not stated"),
        ("MIT or so", "not stated"),
        ("", "not stated"),
    ],
)
def test_a_licence_says_what_is_known_of_it(licence: str, use: str) -> None:
    assert commercial_use(licence) == use


@pytest.mark.parametrize(
    ("licence", "guide", "data", "words"),
    [
        ("CC0-1.0", "", "", "allowed (weights under CC0-1.0)"),
        (
            "CC0-1.0",
            "",
            "CC-BY-4.0",
            "allowed (weights under CC0-1.0, training data set under CC-BY-4.0)",
        ),
        ("CC0-1.0", "", "own images", "not stated (training data set under own images)"),
        ("CC0-1.0", "", "CC BY-NC 4.0", "not allowed (training data set under CC BY-NC 4.0)"),
        ("CC0-1.0", "pathosam", "", "not stated (guide pathosam under see its publisher)"),
        ("CC0-1.0", "unheard-of", "", "not stated (guide unheard-of under not stated)"),
        ("CC-BY-NC-4.0", "pathosam", "", "not allowed (weights under CC-BY-NC-4.0)"),
    ],
)
def test_the_least_of_all_licences_counts(licence: str, guide: str, data: str, words: str) -> None:
    assert terms_of(card(licence, guide, data)).words == words
    if not words.startswith("allowed"):
        with pytest.raises(ModelError) as refused:
            require_commercial_use(card(licence, guide, data))
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_model_that_may_be_used_is_let_through() -> None:
    require_commercial_use(card("CC0-1.0", "sam-vit-b", "CC0-1.0"))


def test_every_guide_says_what_it_allows() -> None:
    uses = {name: commercial_use(entry.licence) for name, entry in GUIDES.items()}
    unknown = {name for name, use in uses.items() if use is CommercialUse.NOT_STATED}
    assert unknown == {"pathosam"}

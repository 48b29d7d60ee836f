"""The embedded models, on the picture that the demo segments."""

from importlib.resources import files

import numpy as np
import pytest
import skimage.data

import nuguide
from nuguide.datasets.base import Sample
from nuguide.evaluation.controls import controlled
from nuguide.guides.student import StudentGuide
from nuguide.models.licence import CommercialUse, terms_of
from nuguide.models.model import Model
from nuguide.models.registry import embedded_models, load_card
from nuguide.segmentation.result import Result

MPP = 0.5  # not recorded for this picture: an assumption


@pytest.fixture(scope="module")
def model() -> Model:
    return nuguide.load("default")


@pytest.fixture(scope="module")
def result(model: Model) -> Result:
    return nuguide.segment(skimage.data.immunohistochemistry(), mpp=MPP, model=model)


@pytest.mark.parametrize("name", embedded_models())
def test_a_card_says_what_a_user_must_know(name: str) -> None:
    card = nuguide.load(name).card
    trained_on = [data.name for data in card.training_data]
    data = {
        "open": ["DSB 2018, bright-field tissue", "NuCLS sample"],
        "open-guided": ["DSB 2018, bright-field tissue", "NuCLS sample"],
        "broad": ["MoNuSeg 2018", "CoNSeP"],
        "default": ["MoNuSeg 2018", "CoNSeP"],
    }
    assert trained_on == data.get(name, ["MoNuSeg 2018"])
    assert card.licence == ("CC0-1.0" if name.startswith("open") else "CC-BY-NC-SA-4.0")
    assert card.mpp == 0.5
    names = {score.name for score in card.scores}
    assert {"dice_foreground", "aji", "pq"} <= names
    assert all(score.definition and score.data and score.n for score in card.scores)


def test_a_guided_card_says_what_its_guide_is_worth() -> None:
    names = {score.name for score in nuguide.load("guided").card.scores}
    assert {"aji, guided", "aji, zeroed", "aji, shuffled", "aji, unguided"} <= names


def test_a_confidence_of_the_default_has_its_worth(result: Result) -> None:
    worth = result.nuclei["match_probability"].to_numpy()
    assert result.match_probability == pytest.approx(worth.mean(), abs=1e-6)
    order = np.argsort(result.nuclei["confidence"].to_numpy())
    assert (np.diff(worth[order]) >= 0).all()
    assert 0 < worth.min() < worth.max() < 1


def test_commercial_users_have_a_model() -> None:
    uses = {name: terms_of(load_card(name)).commercial for name in embedded_models()}
    allowed = [name for name, use in uses.items() if use is CommercialUse.ALLOWED]
    assert allowed == ["open", "open-guided"]


@pytest.mark.parametrize("name", embedded_models())
def test_it_is_small_enough_to_live_in_a_repository(name: str) -> None:
    weights = files("nuguide.models") / "weights" / f"{name}.safetensors"
    assert len(weights.read_bytes()) < 20_000_000


def test_blue_nuclei_between_brown_are_found(result: Result) -> None:
    assert 200 < result.nuclei.num_rows < 700
    assert 15 < result.median_area_um2 < 55


def test_what_it_finds_is_bluer_and_darker_than_what_surrounds_it(result: Result) -> None:
    picture = skimage.data.immunohistochemistry().astype(float)
    nuclei = result.labels > 0
    tissue = picture.mean(2) < 215
    inside, outside = picture[nuclei & tissue].mean(0), picture[~nuclei & tissue].mean(0)
    assert inside.mean() < outside.mean()
    assert inside[2] - inside[0] > outside[2] - outside[0]


def test_empty_glass_has_no_nuclei(model: Model) -> None:
    glass = np.random.default_rng(0).normal(242, 3, (256, 256, 3)).clip(0, 255).astype(np.uint8)
    assert nuguide.segment(glass, mpp=MPP, model=model).nuclei.num_rows == 0


def test_the_guided_model_carries_its_guide_and_uses_it() -> None:
    guided = nuguide.load("guided")
    assert isinstance(guided.guide, StudentGuide)
    picture = skimage.data.immunohistochemistry()
    samples = [
        Sample(name, picture[rows], np.zeros((256, 512), np.int32), MPP)
        for name, rows in (("upper", np.s_[:256]), ("lower", np.s_[256:]))
    ]
    as_it_is, shuffled = (
        controlled(guided, control, samples)(samples[0].image, MPP) > 0
        for control in ("guided", "shuffled")
    )
    assert as_it_is.any()
    assert (as_it_is != shuffled).mean() > 0.02


def test_the_broad_model_tells_types() -> None:
    typed = nuguide.segment(skimage.data.immunohistochemistry(), mpp=MPP, model="broad")
    names = typed.card.types
    assert names == ("miscellaneous", "inflammatory", "epithelial", "spindle-shaped")
    found = typed.nuclei["type"].to_pylist()
    assert set(found) <= set(names)
    # Glands of the colon: more of their epithelium than of what they never are.
    assert found.count("epithelial") > found.count("miscellaneous")

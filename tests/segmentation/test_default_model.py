"""The embedded default model, on the picture that the demo segments."""

from importlib.resources import files

import numpy as np
import pytest
import skimage.data

import nuguide
from nuguide.models.model import Model
from nuguide.segmentation.result import Result

MPP = 0.5  # not recorded for this picture: an assumption


@pytest.fixture(scope="module")
def model() -> Model:
    return nuguide.load("default")


@pytest.fixture(scope="module")
def result(model: Model) -> Result:
    return nuguide.segment(skimage.data.immunohistochemistry(), mpp=MPP, model=model)


def test_its_card_says_what_a_user_must_know(model: Model) -> None:
    card = model.card
    assert card.licence == "CC-BY-NC-SA-4.0"
    assert [data.name for data in card.training_data] == ["MoNuSeg 2018"]
    assert card.mpp == 0.5
    names = {score.name for score in card.scores}
    assert {"dice_foreground", "aji", "pq", "aji, guided", "aji, zeroed", "aji, shuffled"} <= names
    assert all(score.definition and score.data and score.n for score in card.scores)


def test_it_is_small_enough_to_live_in_a_repository() -> None:
    weights = files("nuguide.models") / "weights" / "default.safetensors"
    assert len(weights.read_bytes()) < 20_000_000


def test_blue_nuclei_between_brown_are_found(result: Result) -> None:
    assert 250 < result.nuclei.num_rows < 700
    assert 15 < result.median_area_um2 < 45


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

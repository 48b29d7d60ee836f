import numpy as np
import pytest
from pydantic import ValidationError

from nuguide.errors import ModelError
from nuguide.models.calibration import Calibration
from nuguide.models.card import Card

CONFIDENCE = np.array([0.0, 0.2, 0.5, 0.8, 1.0])


def calibration(**changes) -> Calibration:
    return Calibration(**{"slope": 2.0, "intercept": -1.0, "n": 100, "data": "drawn"} | changes)


def test_the_probability_is_that_of_the_formula():
    found = calibration().probability(CONFIDENCE)
    assert found[2] == pytest.approx(1 / (1 + np.e))
    assert found[3] == pytest.approx(1 / (1 + np.exp(1) / 16))  # odds of 4, squared
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    identity = calibration(slope=1.0, intercept=0.0).probability(CONFIDENCE)
    np.testing.assert_allclose(identity, CONFIDENCE, atol=2e-4)


@pytest.mark.parametrize("wrong", [{"slope": 0.0}, {"slope": float("inf")}, {"n": 0}, {"data": ""}])
def test_a_calibration_that_cannot_be_is_refused(wrong: dict):
    with pytest.raises(ValidationError):
        calibration(**wrong)


def test_a_card_keeps_its_calibration(make_card):
    card = make_card(calibration=calibration())
    assert Card.from_toml(card.to_toml()) == card
    damaged = card.to_toml().replace("slope = 2.0", "slope = -2.0")
    with pytest.raises(ModelError, match=r"calibration\.slope"):
        Card.from_toml(damaged)

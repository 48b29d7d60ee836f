"""Another decoding than the card's."""

import pytest

import nuguide
from nuguide.errors import InputError
from nuguide.models.decoding_choice import asked_decoding, with_decoding


def test_what_is_asked_is_read() -> None:
    texts = ["min_area_um2=5", "prominence = .3", "min_area_um2=6.5"]
    assert asked_decoding(texts) == {"min_area_um2": 6.5, "prominence": 0.3}
    assert asked_decoding([]) == {}


@pytest.mark.parametrize("text", ["min_area_um2", "min_area_um2=", "min_area_um2=large", "=", ""])
def test_what_is_no_number_by_name_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected NAME=NUMBER"):
        asked_decoding([text])


def test_what_is_changed_changes_and_the_rest_stays() -> None:
    model = nuguide.load("open")
    changed = with_decoding(model, {"min_area_um2": 5})
    assert changed.card.decoding.min_area_um2 == 5
    before = model.card.decoding
    assert before.min_area_um2 != 5
    assert changed.card.decoding == before.model_copy(update={"min_area_um2": 5.0})
    assert changed.card.model_copy(update={"decoding": before}) == model.card
    assert changed.network is model.network
    assert with_decoding(model, {}).card == model.card


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"min_area": 5.0}, "min_area is unknown"),
        ({"foreground_threshold": 1.5}, "foreground_threshold"),
        ({"min_area_um2": float("nan")}, "min_area_um2"),
        ({"smoothing_um": -1.0}, "smoothing_um"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        with_decoding(nuguide.load("open"), changes)

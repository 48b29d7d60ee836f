import pytest

from nuguide.errors import InputError
from nuguide.nuclei.staining import Staining, asked_staining, second_stain_of
from nuguide.nuclei.stains import HDAB, Stains


def test_what_is_asked_for_stands_in_the_configuration() -> None:
    asked = asked_staining("hdab", "0.2,0.4,0.6")
    assert asked == Staining(HDAB, (0.2, 0.4, 0.6))
    told = asked.configuration()
    assert told == {"stains": HDAB.configuration(), "positive": [0.2, 0.4, 0.6]}
    assert second_stain_of(told) == "DAB"
    # No key where nothing is asked: runs of before there were thresholds go on.
    assert "positive" not in Staining().configuration()
    assert second_stain_of({}) == second_stain_of(Staining().configuration()) == "Eosin"


@pytest.mark.parametrize("stains", ["he", Stains("eosin", HDAB.vectors)])
def test_nothing_is_positive_for_eosin(stains: str | Stains) -> None:
    with pytest.raises(InputError, match="--stains hdab"):
        asked_staining(stains, 0.2)

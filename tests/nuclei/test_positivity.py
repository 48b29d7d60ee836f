import numpy as np
import pyarrow as pa
import pytest

from nuguide.colours import POSITIVITY_COLOURS
from nuguide.errors import InputError
from nuguide.nuclei.positivity import (
    GRADES,
    NEGATIVE,
    POSITIVE,
    Labelling,
    checked_thresholds,
    labelling_of,
    positivity_of,
)


def test_thresholds_as_they_may_be_given() -> None:
    assert checked_thresholds(0.2) == checked_thresholds([0.2]) == checked_thresholds("0.2")
    assert checked_thresholds((0.2, 0.4, 0.6)) == (0.2, 0.4, 0.6)
    assert checked_thresholds("0.2, 0.4,0.6") == (0.2, 0.4, 0.6)
    assert checked_thresholds(np.float32(1)) == checked_thresholds(1) == (1.0,)


@pytest.mark.parametrize(
    "asked",
    ["", "brown", "0.2,", "0.2,0.4", "0.2,0.4,0.6,0.8", "0.2,0.2,0.4", "0.6,0.4,0.2", "nan", "inf",
     "0", "-0.1", [], [0.2, 0.4], [[0.2, 0.4, 0.6]], [[0.2], []], [None],
     {0.2}],
)  # fmt: skip
def test_thresholds_that_make_no_sense(asked: object) -> None:
    with pytest.raises(InputError, match=r"positive is .*; expected an optical density"):
        checked_thresholds(asked)


def test_who_reaches_a_threshold_has_its_class() -> None:
    od = np.array([0.0, 0.1999, 0.2, 0.39, 0.4, 0.6, 2.0])
    assert positivity_of(od, (0.2,)).tolist() == [NEGATIVE] * 2 + [POSITIVE] * 5
    assert positivity_of(od, (0.2, 0.4, 0.6)).tolist() == [
        "Negative", "Negative", "1+", "1+", "2+", "3+", "3+",
    ]  # fmt: skip


def test_the_labelling_index_and_the_h_score() -> None:
    classes = np.random.default_rng(0).choice([NEGATIVE, *GRADES], 700, p=[0.4, 0.3, 0.2, 0.1])
    labelling = labelling_of(pa.chunked_array([classes[:9], classes[9:]]), (0.2, 0.4, 0.6))
    assert list(labelling.counts) == [NEGATIVE, *GRADES]
    assert labelling.nuclei == 700
    assert labelling.positive_percent == pytest.approx(100 * np.mean(classes != NEGATIVE))
    # The mean grade of a nucleus, in hundredths.
    grades = np.select([classes == "1+", classes == "2+", classes == "3+"], [1, 2, 3])
    assert labelling.h_score == pytest.approx(100 * grades.mean())
    assert labelling.told()["h_score"] == round(100 * grades.mean(), 2)


def test_the_ends_of_both_scores() -> None:
    none, all_ = (Labelling({NEGATIVE: n, "1+": 0, "2+": 0, "3+": 9 - n}) for n in (9, 0))
    assert (none.positive_percent, none.h_score) == (0.0, 0.0)
    assert (all_.positive_percent, all_.h_score) == (100.0, 300.0)


def test_there_is_no_h_score_without_grades_and_no_share_of_nothing() -> None:
    one = labelling_of(pa.chunked_array([[POSITIVE, NEGATIVE, POSITIVE]]), (0.2,))
    assert one.told() == {
        "nuclei": 3,
        "counts": {NEGATIVE: 1, POSITIVE: 2},
        "positive_percent": 66.67,
    }
    nothing = labelling_of(pa.chunked_array([], pa.string()), (0.2, 0.4, 0.6))
    assert nothing.told() == {"nuclei": 0, "counts": dict.fromkeys([NEGATIVE, *GRADES], 0)}


def test_every_class_has_its_colour() -> None:
    assert set(POSITIVITY_COLOURS) == {NEGATIVE, POSITIVE, *GRADES}

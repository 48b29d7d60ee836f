import numpy as np
import pytest

from nuguide.errors import InputError
from nuguide.evaluation.intervals import bootstrap_mean
from nuguide.evaluation.seeds import crossed_mean

RANDOM = np.random.default_rng(0)


def width(values: np.ndarray) -> float:
    interval = crossed_mean(values)
    return interval.high - interval.low


def test_the_mean_is_over_seeds_and_images():
    interval = crossed_mean(np.array([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]))
    assert interval.mean == pytest.approx(0.3)
    assert interval.low < 0.3 < interval.high
    assert interval.n == 3


def test_with_one_seed_it_is_the_bootstrap_over_images():
    values = RANDOM.normal(size=20)
    one, plain = crossed_mean(values[None]), bootstrap_mean(values)
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.02)


def test_what_varies_by_seed_alone_is_as_unsure_as_its_seeds_however_many_images():
    by_seed = RANDOM.normal(size=12)
    values = np.repeat(by_seed[:, None], 40, axis=1)
    plain = bootstrap_mean(by_seed)
    assert width(values) == pytest.approx(plain.high - plain.low, rel=0.05)
    assert width(values) > 3 * bootstrap_width(values.ravel())


def bootstrap_width(values: np.ndarray) -> float:
    interval = bootstrap_mean(values)
    return interval.high - interval.low


def test_equal_values_leave_no_doubt_and_equal_seeds_no_chance():
    assert width(np.full((3, 6), 0.7)) == pytest.approx(0)
    values = RANDOM.normal(size=(3, 6))
    assert crossed_mean(values) == crossed_mean(values)
    assert crossed_mean(values) != crossed_mean(values, seed=1)


def test_images_of_one_slide_are_drawn_together():
    by_slide = RANDOM.normal(size=8)
    values = np.repeat(by_slide, 5)[None]
    slides = [f"slide {i // 5}" for i in range(40)]
    together, plain = crossed_mean(values, origins=slides), bootstrap_mean(by_slide)
    assert together.high - together.low == pytest.approx(plain.high - plain.low, rel=0.05)
    assert together.high - together.low > 1.8 * width(values)
    assert (together.mean, together.n) == (pytest.approx(values.mean()), 40)


def test_a_slide_weighs_as_much_as_it_has_images():
    values = np.array([[1.0, 1.0, 1.0, 0.0]])
    interval = crossed_mean(values, origins=["a", "a", "a", "b"])
    assert interval.mean == 0.75
    assert (interval.low, interval.high) == (0, 1)


def test_images_of_unknown_slides_are_drawn_alone():
    values = RANDOM.normal(size=(2, 6))
    assert crossed_mean(values, origins=[""] * 6) == crossed_mean(values)


@pytest.mark.parametrize("values", [np.empty((0, 3)), np.zeros(3), np.array([[0.1, np.nan]])])
def test_what_cannot_be_averaged_is_refused(values: np.ndarray):
    with pytest.raises(InputError, match="expected one finite score for each seed and image"):
        crossed_mean(values)

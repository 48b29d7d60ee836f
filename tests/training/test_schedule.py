import pytest

from nuguide.training.schedule import rate


def test_a_cosine_ends_at_zero():
    shares = [rate(step, step / 4, 0) for step in range(5)]
    assert shares == pytest.approx([1, 0.854, 0.5, 0.146, 0], abs=1e-3)


def test_constant_stays_where_the_warm_up_has_brought_it():
    assert [rate(step, step / 4, 2, "constant") for step in range(5)] == [0.5, 1, 1, 1, 1]
    assert rate(0, 0, 0, "constant") == rate(10**6, 1, 0, "constant") == 1


def test_both_warm_up_alike():
    assert [rate(step, 0, 4) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert [rate(step, 0, 4, "constant") for step in range(4)] == [0.25, 0.5, 0.75, 1]

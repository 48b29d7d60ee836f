import pytest

from nuguide.guides.controls import derangement


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_everyone_gets_another_and_no_one_gets_two(count: int, seed: int | None) -> None:
    others = derangement(count, seed)
    assert sorted(others) == list(range(count))
    assert all(other != own for own, other in enumerate(others))
    assert others == derangement(count, seed)


def test_the_order_is_the_images_own_or_drawn_by_the_seed() -> None:
    assert derangement(4) == [1, 2, 3, 0]
    assert len({tuple(derangement(9, seed)) for seed in range(5)}) == 5

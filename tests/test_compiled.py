import numba
import pytest

from nuguide.compiled import compiled


def added(one: int, other: int) -> int:
    return one + other


def test_a_loop_is_compiled() -> None:
    loop = compiled(added)
    assert loop(2, 3) == 5
    assert loop.signatures, "called, it was compiled for these types"


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = numba.njit

    def nowhere(**options: bool):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function 'added': no locator available")
        return usual(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert compiled(added)(2, 3) == 5

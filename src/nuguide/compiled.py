"""Loops over pixels, compiled by Numba: where one pass does what takes array operations many."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """Compile a function for the types it is first called with; threads run it side by side.

    What is compiled is kept on disk beside the source, else in the user's cache, so that only the
    first run on a machine waits for it (seconds).
    """
    try:
        made = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # neither place can be written: every process compiles for itself
        made = numba.njit(nogil=True)(loop)
    return cast(Loop, made)

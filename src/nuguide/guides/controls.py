"""What a network is given in place of its image's tokens, to see whether it uses its guide."""

from typing import Literal

import numpy as np

from nuguide.errors import InputError

Control = Literal["guided", "zeroed", "shuffled"]
"""What a network is given: its image's tokens, zeros, or the tokens of another image."""


def derangement(count: int, seed: int | None = None) -> list[int]:
    """Give each of ``count`` images another one: the next in an order, the last gets the first.

    Parameters
    ----------
    count : int
        Two or more.
    seed : int, optional
        Of a random order; None: the images' own.

    Raises
    ------
    InputError
        If there are no two images.
    """
    if count < 2:
        raise InputError(
            f"{count} image cannot be given the tokens of another; expected two or more; "
            "take more images, or zeros as the control"
        )
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    others = np.empty(count, np.int64)
    others[order] = np.roll(order, -1)
    return [int(other) for other in others]

"""How the learning rate runs: a linear warm-up, then a cosine to zero, or no change at all."""

import math
from typing import Literal


def rate(
    step: int, share: float, warmup_steps: int, schedule: Literal["cosine", "constant"] = "cosine"
) -> float:
    """Return the share of a recipe's learning rate.

    Parameters
    ----------
    step : int
        Steps done.
    share : float
        Share of the training that is done, 0..1: of its steps, or of its time.
    warmup_steps : int
        Steps of the warm-up; 0: none.
    schedule : {"cosine", "constant"}
        What follows it.
    """
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    if schedule == "constant":
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

"""How the learning rate runs: a linear warm-up, then a cosine to zero."""

import math


def rate(step: int, share: float, warmup_steps: int) -> float:
    """Return the share of a recipe's learning rate.

    Parameters
    ----------
    step : int
        Steps done.
    share : float
        Share of the training that is done, 0..1: of its steps, or of its time.
    warmup_steps : int
        Steps of the warm-up.
    """
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

"""From a nucleus' confidence to the probability that it is one."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

_SUREST = 1e-4
"""A confidence nearer to 0 or 1 than this counts as this: a logit must be finite."""


def log_odds(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(c / (1 - c)) of confidences, 0..1."""
    held = np.clip(confidence, _SUREST, 1 - _SUREST)
    return np.asarray(np.log(held / (1 - held)))


class Calibration(BaseModel):
    """Two numbers that turn the confidence c into the probability that a true nucleus matches.

    p = 1 / (1 + exp(-(slope * log(c / (1 - c)) + intercept))); a match is an IoU above 0.5.

    Attributes
    ----------
    slope, intercept : float
        A greater confidence never gives a smaller probability.
    n : int
        Nuclei that it was fitted to.
    data : str
        The images that they are of, and by which network.

    References
    ----------
    Platt: Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers,
    1999.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    slope: Annotated[float, Field(gt=0)]
    intercept: float
    n: Annotated[int, Field(ge=1)]
    data: Annotated[str, Field(min_length=1)]

    def __str__(self) -> str:
        """Word it in a line."""
        return (
            f"calibrated on {self.data} ({self.n:,} nuclei): slope {self.slope:g}, intercept "
            f"{self.intercept:g}"
        )

    def probability(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of a match, 0..1, for confidences, 0..1."""
        return np.asarray(
            1 / (1 + np.exp(-(self.slope * log_odds(confidence) + self.intercept))), np.float64
        )

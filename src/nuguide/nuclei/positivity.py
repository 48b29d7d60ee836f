"""Which nuclei count as positive, and how many do: the labelling index and the H-score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.errors import InputError

NEGATIVE, POSITIVE = "Negative", "Positive"
GRADES = ("1+", "2+", "3+")
"""Of weak, moderate and strong staining. All of these are QuPath's own words."""

AskedThresholds = float | Sequence[float] | str
"""One threshold, or three; as numbers, or as a text that spells them with commas."""


def checked_thresholds(asked: AskedThresholds) -> tuple[float, ...]:
    """Return optical densities from which on a nucleus counts as positive.

    Parameters
    ----------
    asked : float, sequence of float or str
        One, or three that rise, from which on it is 1+, 2+ and 3+.

    Raises
    ------
    InputError
        If they are something else.
    """
    try:
        words = asked.split(",") if isinstance(asked, str) else np.atleast_1d(asked).tolist()
        thresholds = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        thresholds = ()
    rising = all(low < high for low, high in pairwise(thresholds))
    possible = all(math.isfinite(value) and value > 0 for value in thresholds)
    if len(thresholds) not in (1, 3) or not rising or not possible:
        raise InputError(
            f"positive is {asked!r}; expected an optical density above 0, or three that rise, for "
            "1+, 2+ and 3+; give what your laboratory has settled on, for example 0.2 or "
            "0.2,0.4,0.6"
        )
    return thresholds


def classes_of(thresholds: Sequence[float]) -> tuple[str, ...]:
    """Return the classes that thresholds part, from the palest on; none without thresholds."""
    if not thresholds:
        return ()
    return (NEGATIVE, POSITIVE) if len(thresholds) == 1 else (NEGATIVE, *GRADES)


def positivity_of(od: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.object_]:
    """Return the class of each nucleus.

    Parameters
    ----------
    od : ndarray
        (N,) mean optical density of the second stain.
    thresholds : sequence of float
        See ``checked_thresholds``; who reaches one has its class, as in QuPath.

    Returns
    -------
    ndarray
        (N,) str.
    """
    classes = np.array(classes_of(thresholds), np.object_)
    return np.asarray(classes[np.searchsorted(thresholds, od, side="right")])


@dataclass(frozen=True)
class Labelling:
    """How many of some nuclei are of each class of positivity.

    Attributes
    ----------
    counts : mapping
        Class -> nuclei, from the palest on.
    """

    counts: Mapping[str, int]

    @property
    def nuclei(self) -> int:
        """Nuclei in all."""
        return sum(self.counts.values())

    @property
    def positive_percent(self) -> float | None:
        """Share of the nuclei that are not negative, the labelling index, %; None of none."""
        if not self.nuclei:
            return None
        return 100.0 * (self.nuclei - self.counts[NEGATIVE]) / self.nuclei

    @property
    def h_score(self) -> float | None:
        """Percentage of 1+, twice that of 2+ and three times that of 3+ together, 0 to 300.

        None of no nuclei, or where positive ones are not graded.
        """
        if not self.nuclei or POSITIVE in self.counts:
            return None
        weighted = sum(weight * self.counts[grade] for weight, grade in enumerate(GRADES, 1))
        return 100.0 * weighted / self.nuclei

    def told(self) -> dict[str, Any]:
        """Return it as it stands in ``run.toml``."""
        scores = {"positive_percent": self.positive_percent, "h_score": self.h_score}
        return {
            "nuclei": self.nuclei,
            "counts": dict(self.counts),
            **{name: round(score, 2) for name, score in scores.items() if score is not None},
        }


def labelling_of(classes: pa.ChunkedArray, thresholds: Sequence[float]) -> Labelling:
    """Count nuclei by their class, the column ``positivity`` of their table."""
    counts = {each["values"]: each["counts"] for each in classes.value_counts().to_pylist()}
    return Labelling({each: counts.get(each, 0) for each in classes_of(thresholds)})

"""How a measurement is spread over nuclei that stream by: a histogram, drawn as SVG."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BINS = 400
_BARS = 50


@dataclass(frozen=True)
class Measurement:
    """A column of the nucleus table, and the range over which it is drawn.

    Attributes
    ----------
    column, title, unit : str
        Of the column, in words.
    highest : float
        End of the range that begins at 0; what lies above is counted and told.
    """

    column: str
    title: str
    unit: str
    highest: float


MEASUREMENTS = (
    Measurement("area_um2", "Area", "µm²", 200.0),
    Measurement("eccentricity", "Eccentricity", "", 1.0),
    Measurement("hematoxylin_od_mean", "Haematoxylin", "optical density", 1.5),
    Measurement("second_stain_od_mean", "Second stain", "optical density", 1.5),
    Measurement("confidence", "Confidence", "", 1.0),
    Measurement("match_probability", "Match probability", "", 1.0),
)
"""What a report shows; the ranges are fixed, so that two reports can be laid side by side."""


class Distribution:
    """The histogram of a measurement, filled piece by piece.

    Attributes
    ----------
    measurement : Measurement
        What is counted.
    counts : ndarray
        (400,) int64, nuclei in each bin of equal width from 0 to ``measurement.highest``.
    above : int
        Nuclei beyond that.
    """

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        self.counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self.above = 0

    def add(self, nuclei: pa.Table) -> None:
        """Count the nuclei of a table; a value that is not finite counts nowhere."""
        values = nuclei[self.measurement.column].to_numpy()
        values = values[np.isfinite(values)]
        counts, _ = np.histogram(values, _BINS, (0.0, self.measurement.highest))
        self.counts += counts
        self.above += int((values > self.measurement.highest).sum())

    @property
    def total(self) -> int:
        """Nuclei that were counted."""
        return int(self.counts.sum()) + self.above

    def quantile(self, share: float) -> float | None:
        """Return the value below which a share of the nuclei lies, exact to a 400th of the range.

        None if it lies beyond the range, or there are no nuclei.
        """
        sought = share * self.total
        below = np.concatenate([[0], np.cumsum(self.counts)])
        if not sought or sought > below[-1]:
            return None
        place = float(np.interp(sought, below, np.arange(_BINS + 1)))
        return place * self.measurement.highest / _BINS

    @property
    def bars(self) -> list[float]:
        """Heights of the drawn bars, 0 to 1, from the low end of the range to the high one."""
        heights = self.counts.reshape(_BARS, -1).sum(axis=1)
        return [round(float(height), 4) for height in heights / max(1, heights.max())]

    @property
    def ticks(self) -> list[str]:
        """Words at 0, a quarter, a half, three quarters and the end of the range."""
        return [f"{self.measurement.highest * quarter / 4:g}" for quarter in range(5)]

"""Nuclei counted by where they lie and what is known of them: all that is kept of millions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from nuguide.datasets.frame import Frame
from nuguide.evaluation.points import ALL, Points
from nuguide.nuclei.positivity import POSITIVE

_ELSEWHERE, _OUTSIDE, _VAGUE = -1, -2, -3


@dataclass(frozen=True, eq=False)
class Tally:
    """Numbers of nuclei, a row for each place, type and positivity that occur together.

    Attributes
    ----------
    fields : int
        n, the squares that were drawn.
    place : ndarray
        (g,) int64: number of a field, 0 to n - 1, or less: no field.
    types, positivity : ndarray
        (g,) of str, as in ``Points``.
    number : ndarray
        (g,) int64, how many.
    """

    fields: int
    place: NDArray[np.int64]
    types: NDArray[np.str_]
    positivity: NDArray[np.str_]
    number: NDArray[np.int64]

    def in_fields(self, kinds: Sequence[str]) -> NDArray[np.float64]:
        """Return the counts of k kinds in each field, (n, k)."""
        inside = self.place >= 0
        counts = [
            np.bincount(self.place[each], self.number[each], minlength=self.fields)
            for each in (inside & self._of(kind) for kind in kinds)
        ]
        return np.stack(counts, axis=1)

    def elsewhere(self, kinds: Sequence[str]) -> NDArray[np.float64]:
        """Return the counts of k kinds in the squares that were not drawn, all together, (k,)."""
        there = self.place == _ELSEWHERE
        return np.array([self.number[there & self._of(each)].sum() for each in kinds], np.float64)

    @property
    def outside(self) -> int:
        """How many lie in no square."""
        return int(self.number[self.place == _OUTSIDE].sum())

    def _of(self, kind: str) -> NDArray[np.bool_]:
        if kind == ALL:
            return np.ones(self.place.shape, bool)
        return (self.positivity == POSITIVE) if kind == POSITIVE else (self.types == kind)


def tally(nuclei: Iterable[Points], frame: Frame, vague: Any) -> Tally:
    """Count nuclei by the square that their centroid lies in.

    Parameters
    ----------
    nuclei : iterable of Points
        Part by part, of which one is held at a time.
    frame : Frame
        The squares.
    vague : shapely geometry
        Full-resolution px (x, y): what lies here in a drawn square is not counted.
    """
    keys = ["place", "type", "positivity"]
    types = (pa.int64(), pa.string(), pa.string(), pa.int64())
    parts = [pa.schema(zip((*keys, "number"), types, strict=True)).empty_table()]
    for each in nuclei:
        table = pa.table([_places(each, frame, vague), each.types, each.positivity], names=keys)
        counted = table.group_by(keys).aggregate([([], "count_all")])
        parts.append(counted.rename_columns([*keys, "number"]))
    whole = pa.concat_tables(parts).group_by(keys).aggregate([("number", "sum")])
    place, types, positivity, number = (whole[name].to_numpy() for name in (*keys, "number_sum"))
    return Tally(
        frame.drawn.size,
        place.astype(np.int64),
        types.astype(np.str_),
        positivity.astype(np.str_),
        number.astype(np.int64),
    )


def _places(nuclei: Points, frame: Frame, vague: Any) -> NDArray[np.int64]:
    square = frame.square_of(nuclei.y, nuclei.x)
    place = np.where(square < 0, _OUTSIDE, _ELSEWHERE)
    inside = np.flatnonzero(np.isin(square, frame.drawn))
    hidden = shapely.contains_xy(vague, nuclei.x[inside], nuclei.y[inside])
    place[inside] = np.where(hidden, _VAGUE, np.searchsorted(frame.drawn, square[inside]))
    return place

"""Nuclei as points with what is known of each: those of a run, and those that a person drew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.datasets.polygons import Outline
from nuguide.datasets.qupath_geojson import Drawn
from nuguide.nuclei.positivity import GRADES, NEGATIVE, POSITIVE
from nuguide.segmentation.result import Run

ALL = "nuclei"
"""The kind that every nucleus is of."""


@dataclass(frozen=True, eq=False)
class Points:
    """Nuclei as points, and what is known of each.

    Attributes
    ----------
    y, x : ndarray
        (m,) centroids, full-resolution px from the corner of the first pixel.
    types, positivity : ndarray
        (m,) of str, empty where unknown; of positivity ``Negative`` or ``Positive``.
    """

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    types: NDArray[np.str_]
    positivity: NDArray[np.str_]

    def of(self, kind: str) -> NDArray[np.bool_]:
        """Tell which are of a kind: ``ALL``, ``Positive``, or a type."""
        if kind == ALL:
            return np.ones(self.y.shape, bool)
        return (self.positivity == POSITIVE) if kind == POSITIVE else (self.types == kind)


def found_by(run: Run) -> Points:
    """Read the nuclei of a run."""
    columns = ["centroid_y_px", "centroid_x_px", "type", "positivity"]
    table = run.nuclei.to_table(columns=columns)
    y, x, types, grades = (table[name].to_numpy(zero_copy_only=False) for name in columns)
    return Points(
        y.astype(np.float64),
        x.astype(np.float64),
        _words(types),
        _graded(_words(grades)),
    )


def drawn_points(nuclei: Sequence[Drawn]) -> Points:
    """Return drawn nuclei as points; a class is a type, a positivity, or ``Tumor: Positive``."""
    outlined = [(polygon_of(each.outline), each.kind) for each in nuclei]
    outlined = [each for each in outlined if not shapely.is_empty(each[0])]
    middle = shapely.centroid(np.array([outline for outline, _ in outlined], object))
    named = [kind.split(": ") for _, kind in outlined]
    grades = [names[-1] if names[-1] in (NEGATIVE, POSITIVE, *GRADES) else "" for names in named]
    types = [
        "" if names[0] == grade else names[0] for names, grade in zip(named, grades, strict=True)
    ]
    return Points(
        np.asarray(shapely.get_y(middle), np.float64),
        np.asarray(shapely.get_x(middle), np.float64),
        np.array(types, np.str_),
        _graded(np.array(grades, np.str_)),
    )


def _words(values: NDArray[np.object_]) -> NDArray[np.str_]:
    return np.array(["" if value is None else value for value in values.tolist()], np.str_)


def _graded(grades: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return Negative or Positive of 1+, 2+ and 3+ too."""
    return np.where(np.isin(grades, (*GRADES, POSITIVE)), POSITIVE, grades)


def polygon_of(outline: Outline) -> Any:
    """Return an outline as shapely's, px (x, y) from the corner of the first pixel."""
    pieces = [
        shapely.Polygon(outer + 0.5, [hole + 0.5 for hole in holes if len(hole) > 2])
        for outer, *holes in outline.pieces
        if len(outer) > 2
    ]
    return shapely.union_all([shapely.make_valid(piece) for piece in pieces])

"""Nuclei as points with what is known of each: those of a run, and those that a person drew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from nuguide.datasets.polygons import Outline
from nuguide.datasets.qupath_geojson import UNTYPED, Drawn
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


def found_by(run: Run) -> Iterator[Points]:
    """Read the nuclei of a run, part by part."""
    columns = ["centroid_y_px", "centroid_x_px", "type", "positivity"]
    for batch in run.nuclei.to_batches(columns=columns):
        y, x, types, grades = batch.columns
        yield Points(
            y.to_numpy().astype(np.float64),
            x.to_numpy().astype(np.float64),
            _words(types),
            _graded(_words(grades)),
        )


def drawn_points(nuclei: Sequence[Drawn]) -> Points:
    """Return drawn nuclei as points; a class is a type, a positivity, or ``Tumor: Positive``.

    ``Nucleus``, and ``nuclei``, are types of none; so is the first part of ``Nucleus: Positive``.
    """
    outlined = [(polygon_of(each.outline), each.kind) for each in nuclei]
    outlined = [each for each in outlined if not shapely.is_empty(each[0])]
    middle = shapely.centroid(np.array([outline for outline, _ in outlined], object))
    named = [kind.split(": ") for _, kind in outlined]
    grades = [names[-1] if names[-1] in (NEGATIVE, POSITIVE, *GRADES) else "" for names in named]
    types = [
        "" if names[0] in (grade, UNTYPED, ALL) else names[0]
        for names, grade in zip(named, grades, strict=True)
    ]
    return Points(
        np.asarray(shapely.get_y(middle), np.float64),
        np.asarray(shapely.get_x(middle), np.float64),
        np.array(types, np.str_),
        _graded(np.array(grades, np.str_)),
    )


def _words(values: pa.Array) -> NDArray[np.str_]:
    encoded = values.fill_null("").dictionary_encode()
    words = np.array(encoded.dictionary.to_pylist(), np.str_)
    return np.asarray(words[encoded.indices.to_numpy()])


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

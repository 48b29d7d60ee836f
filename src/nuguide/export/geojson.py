"""Nuclei for QuPath: a gzipped GeoJSON of detections, dropped on the viewer as it is."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nuguide.colours import POSITIVITY_COLOURS, Rgb, colours_of
from nuguide.datasets.qupath_geojson import UNTYPED
from nuguide.export.coordinates import in_words
from nuguide.export.pieces import regrouped
from nuguide.files import replacing
from nuguide.nuclei.polygons import Polygons

_MEASUREMENTS = {
    "area_um2": "Area µm^2",
    "perimeter_um": "Perimeter µm",
    "major_axis_um": "Major axis µm",
    "minor_axis_um": "Minor axis µm",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "hematoxylin_od_mean": "Hematoxylin OD mean",
    "second_stain_od_mean": "{second} OD mean",
    "confidence": "Confidence",
    "match_probability": "Match probability",
    "centroid_x_um": "Centroid X µm",
    "centroid_y_um": "Centroid Y µm",
}

_UNTYPED_COLOUR = (0, 200, 0)
_MEASUREMENT_DECIMALS = 4
_ROWS_AT_ONCE = 2048  # enough for columns to pay, and text is packed early in a small image too
_GZIP_LEVEL = 4  # keeps pace with the text being made; level 6 takes more than twice as long


def measurement_names(second_stain: str) -> dict[str, str]:
    """Return column of the nucleus table -> name of the measurement, units as QuPath writes them.

    ``second_stain`` is the name of the stain beside haematoxylin.
    """
    return {column: name.format(second=second_stain) for column, name in _MEASUREMENTS.items()}


def write_geojson(
    pieces: Iterable[pa.Table],
    path: Path,
    mpp: float,
    types: Sequence[str] = (),
    second_stain: str = "Eosin",
) -> None:
    """Write nuclei as a gzipped GeoJSON FeatureCollection of QuPath detections.

    Parameters
    ----------
    pieces : iterable of pyarrow.Table
        The nuclei in order, by ``nuguide.nuclei.schema.SCHEMA``; never held all at once.
    path : Path
        Ends in ``.geojson.gz``.
    mpp : float
        um/px of the full-resolution px in which the coordinates are; written as the member
        ``mpp`` of the collection, for readers other than QuPath.
    types : sequence of str
        Those that the model tells apart, in its order, which gives each its colour; another has
        the colour of none. Where nuclei have a positivity, it gives the colour.
    second_stain : str
        Name of the stain beside haematoxylin.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    Coordinates are full-resolution px (x right, y down), 0.01 px, in closed rings. A measurement
    that is not finite is left out: JSON has no word for it. Equal nuclei give equal bytes.
    """
    with (
        replacing(path) as aside,
        aside.open("wb") as raw,
        # No name and no time in the header: they would differ between equal runs.
        gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(f'{{"type":"FeatureCollection","mpp":{mpp!r},"features":['.encode())
        _write_alongside(packed, _texts(pieces, colours_of(types), measurement_names(second_stain)))
        packed.write(b"\n]}\n")


def _write_alongside(packed: gzip.GzipFile, texts: Iterator[memoryview]) -> None:
    """Write texts while the next one is made: compressing takes half of the time."""
    with ThreadPoolExecutor(1) as compressor:
        writing: Future[int] | None = None
        for text in texts:
            if writing is not None:
                writing.result()
            writing = compressor.submit(packed.write, text)
        if writing is not None:
            writing.result()


def _texts(
    pieces: Iterable[pa.Table], colours: Mapping[str, Rgb], names: Mapping[str, str]
) -> Iterator[memoryview]:
    """Give the features of a few thousand nuclei at a time, with what separates them."""
    for number, nuclei in enumerate(regrouped(pieces, _ROWS_AT_ONCE)):
        text = _characters(_features(nuclei.combine_chunks(), colours, names))
        # Each feature begins with its separator; the first of all needs no comma.
        yield text if number else text[1:]


def _features(
    nuclei: pa.Table, colours: Mapping[str, Rgb], names: Mapping[str, str]
) -> pa.StringArray:
    """Word each nucleus as a GeoJSON feature, by whole columns: no loop over nuclei."""
    return _joined(
        ',\n{"type":"Feature","id":"',
        nuclei["id"].combine_chunks(),
        '","geometry":{"type":"Polygon","coordinates":[[[',
        in_words(Polygons.from_wkb(nuclei["geometry"])),
        ']]]},"properties":{"objectType":"detection","classification":',
        _classifications(nuclei, colours),
        ',"measurements":{',
        _measurements(nuclei, names),
        "}}}",
    )


def _measurements(nuclei: pa.Table, names: Mapping[str, str]) -> pa.StringArray:
    """Word the measurements of each nucleus, ``"name":value,"name":value``."""
    members = []
    for column, name in names.items():
        values = nuclei[column].combine_chunks()
        rounded = pc.cast(pc.round(values, _MEASUREMENT_DECIMALS), pa.string())
        member = _joined(f"{json.dumps(name)}:", rounded)
        members.append(pc.if_else(pc.is_finite(values), member, None))
    return pc.binary_join_element_wise(*members, ",", null_handling="skip")


def _classifications(nuclei: pa.Table, colours: Mapping[str, Rgb]) -> pa.StringArray:
    kinds, grades = (
        pc.dictionary_encode(nuclei[name].combine_chunks(), null_encoding="encode")
        for name in ("type", "positivity")
    )
    of_grades = grades.dictionary.to_pylist()
    words = [
        json.dumps(_classification(kind, grade, colours))
        for kind in kinds.dictionary.to_pylist()
        for grade in of_grades
    ]
    places = pc.add(pc.multiply(kinds.indices, len(of_grades)), grades.indices)
    return pc.take(pa.array(words), places)


def _classification(
    kind: str | None, grade: str | None, colours: Mapping[str, Rgb]
) -> dict[str, Any]:
    """Return QuPath's class; its form of one that stands below another is ``Tumor: Positive``."""
    if grade is not None:
        name = grade if kind is None else f"{kind}: {grade}"
        return {"name": name, "color": POSITIVITY_COLOURS[grade]}
    if kind is None:
        return {"name": UNTYPED, "color": _UNTYPED_COLOUR}
    return {"name": kind, "color": colours.get(kind, _UNTYPED_COLOUR)}


def _joined(*parts: str | pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(*parts, "")


def _characters(words: pa.StringArray) -> memoryview:
    """Return the bytes of all words, one after the other, without a copy."""
    _, offsets, characters = words.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[words.offset, words.offset + len(words)]]
    return memoryview(characters)[first:last]

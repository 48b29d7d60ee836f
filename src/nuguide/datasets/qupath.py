"""Nuclei drawn or detected in QuPath: images with GeoJSON of the same stem.

::

    images/<stem>.png|tif|jpg|bmp
    annotations/<stem>.geojson[.gz]   or detections/, geojson/, or beside the images
    index.csv                         optional, as in a plain folder

Names that QuPath itself gives a meaning keep it: what is classified ``Ignore*`` is ambiguous, and
where there are objects of the class ``Region*``, all that lies outside them is.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.folder import FOLDS, Row, rows_of_index, stated
from nuguide.datasets.pictures import by_stem, read_rgb
from nuguide.datasets.polygons import Outline, Ring, rasterise
from nuguide.errors import DataSetError
from nuguide.units import checked_mpp

MAX_BYTES = 500_000_000
"""Most bytes of one GeoJSON, unpacked."""

IGNORE, REGION = "Ignore*", "Region*"

_FOLDERS = ("annotations", "detections", "geojson", "images", ".")
_ENDINGS = (".geojson", ".geojson.gz")


def is_qupath(root: Path) -> bool:
    """Tell whether ``root`` has GeoJSON in one of the places where it is looked for."""
    return _place(root) is not None


def open_qupath(root: Path, mpp: float | None) -> DataSet:
    """Pair every image with the GeoJSON of its stem.

    All files are read once for the names of the classes, so that a class has the same number in
    every image: the names in alphabetical order, from 1.

    Raises
    ------
    DataSetError
        If there is no image, or a GeoJSON is damaged.
    ResolutionError
        If an image has no um/px, or one out of range.
    """
    place = _place(root)
    pictures = root / "images" if (root / "images").is_dir() else root
    images = by_stem(pictures)
    if place is None or not images:
        raise DataSetError(
            f"{root} holds {len(images)} pictures and {'no' if place is None else 'some'} GeoJSON; "
            "expected images/ and annotations/, paired by file name without its ending; give the "
            "folder that holds the two"
        )
    drawn = {_stem(path): path for path in _geojsons(place)}
    rows = rows_of_index(root / "index.csv")
    classes = tuple(sorted({name for path in drawn.values() for name in _class_names(path)}))
    if len(classes) > 255:
        raise DataSetError(
            f"{place} has {len(classes)} classes; expected at most 255; merge some in QuPath"
        )
    entries = []
    for stem, path in images.items():
        if stem in drawn:
            row = stated(rows.get(stem, Row()), mpp, path, root)
            read = partial(_read, row, path, drawn[stem], classes)
            entries.append(Entry(stem, read, row.part, row.organ, row.patient, row.source))
    return DataSet(
        name="qupath",
        title="images with QuPath's GeoJSON",
        licence="",
        root=root,
        entries=tuple(entries),
        findings=tuple(_unpaired(images, drawn)),
        classes=classes,
        fold_counts=(FOLDS,),
    )


def read_geojson(path: Path) -> list[dict[str, Any]]:
    """Read the features of a FeatureCollection, a bare array or a single feature.

    Raises
    ------
    DataSetError
        If the file is missing, too large when unpacked, or no GeoJSON.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise DataSetError(
                f"{path} has more than {MAX_BYTES:,} bytes; expected at most that many; "
                "cut image and annotation up"
            )
        content = json.loads(text)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _no_geojson(path, str(error) or type(error).__name__) from error
    if isinstance(content, dict):
        content = content.get("features", [content])
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise _no_geojson(path, "it holds no list of features")
    return content


def _no_geojson(path: Path, why: str) -> DataSetError:
    return DataSetError(
        f"{path} cannot be read ({' '.join(why.split())[:200]}); expected GeoJSON as QuPath "
        "exports it; export it again"
    )


def _read(row: Row, image: Path, drawn: Path, classes: tuple[str, ...]) -> Sample:
    rgb = read_rgb(image)
    shape = (rgb.shape[0], rgb.shape[1])
    outlines: list[Outline] = []
    numbers, special = [0], {IGNORE: list[Outline](), REGION: list[Outline]()}
    for feature in read_geojson(drawn):
        outline, name = _outline(feature, drawn), _class_name(feature)
        if outline is None:
            continue
        if name in special:
            special[name].append(outline)
            continue
        outlines.append(outline)
        numbers.append(classes.index(name) + 1 if name in classes else 0)
    labels = rasterise(outlines, shape)
    return Sample(
        name=_stem(drawn),
        image=rgb,
        labels=labels,
        mpp=checked_mpp(row.mpp),
        organ=row.organ,
        patient=row.patient,
        types=np.array(numbers, np.uint8)[labels] if classes else None,
        ignore=_ignored(special, shape),
        source=row.source,
    )


def _ignored(special: dict[str, list[Outline]], shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    if not any(special.values()):
        return None
    ignore = rasterise(special[IGNORE], shape) > 0
    if special[REGION]:
        ignore |= rasterise(special[REGION], shape) == 0
    return ignore


def _outline(feature: dict[str, Any], path: Path) -> Outline | None:
    """Return a feature's polygon, None if it is a point, a line or nothing."""
    # QuPath's cells keep the nucleus beside the outline of the cell.
    geometry = feature.get("nucleusGeometry") or feature.get("geometry")
    if not isinstance(geometry, dict):
        raise _no_geojson(path, "a feature has no geometry")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        return None
    try:
        pieces: Any = [coordinates] if kind == "Polygon" else coordinates
        return Outline(tuple(tuple(_ring(ring) for ring in piece) for piece in pieces if piece))
    except (TypeError, ValueError) as error:
        raise _no_geojson(path, f"a polygon is damaged: {error}") from error


def _ring(points: Any) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError("a ring is no list of points")
    # QuPath counts from the corner of the first pixel, outlines here from its middle.
    return ring[:, :2] - 0.5


def _class_name(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    kind = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(kind, dict):
        names = kind.get("names")
        kind = kind.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return kind if isinstance(kind, str) else ""


def _class_names(path: Path) -> set[str]:
    return {_class_name(feature) for feature in read_geojson(path)} - {"", IGNORE, REGION}


def _place(root: Path) -> Path | None:
    for name in _FOLDERS:
        if any(True for _ in _geojsons(root / name)):
            return root / name
    return None


def _geojsons(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.name.lower().endswith(_ENDINGS))


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _unpaired(images: dict[str, Path], drawn: dict[str, Path]) -> list[Finding]:
    bare = [
        Finding(
            "error",
            "image without GeoJSON",
            path.name,
            f"{path} has no annotation; expected a file named {stem}.geojson; add it, or take the "
            "image away",
        )
        for stem, path in images.items()
        if stem not in drawn
    ]
    spare = [
        Finding(
            "warning",
            "GeoJSON without image",
            path.name,
            f"{path} has no image; expected a picture of the same stem; add it, or take the file "
            "away",
        )
        for stem, path in drawn.items()
        if stem not in images
    ]
    return bare + spare

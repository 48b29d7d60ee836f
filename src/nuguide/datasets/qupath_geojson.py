"""Objects of QuPath as it exports them: GeoJSON features with an outline and a class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nuguide.datasets.polygons import Outline, Ring
from nuguide.documents import parse_json, unpacked
from nuguide.errors import DataSetError

MAX_BYTES = 500_000_000
"""Most bytes of one GeoJSON, unpacked."""

UNTYPED = "Nucleus"
"""The class that ``nuguide segment`` gives a nucleus of no type."""


@dataclass(frozen=True)
class Drawn:
    """An object that has an area.

    Attributes
    ----------
    outline : Outline
        Its nucleus, where QuPath knows cell and nucleus, in px of the image.
    kind : str
        Name of its class; empty if it has none.
    """

    outline: Outline
    kind: str


def read_drawn(path: Path) -> list[Drawn]:
    """Read the objects of a FeatureCollection, a bare array or a single feature.

    Points and lines are passed over.

    Raises
    ------
    DataSetError
        If the file is missing, too large when unpacked, or no GeoJSON.
    """
    found = []
    for feature in _features(path):
        outline = _outline(feature, path)
        if outline is not None:
            kind = _class_name(feature)
            found.append(Drawn(outline, "" if kind == UNTYPED else kind))
    return found


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        text = unpacked(path, MAX_BYTES)
        if len(text) > MAX_BYTES:
            raise DataSetError(
                f"{path} has more than {MAX_BYTES:,} bytes; expected at most that many; export "
                "only the annotated areas and what lies in them, or cut image and annotation up"
            )
        content = parse_json(text)
    except (OSError, ValueError) as error:
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
    except (TypeError, ValueError, ArithmeticError) as error:
        raise _no_geojson(path, f"a polygon is damaged: {error}") from error


def _ring(points: Any) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError("a ring is no list of points")
    if not np.isfinite(ring).all():
        raise ValueError("a point is no finite number")
    # QuPath counts from the corner of the first pixel, outlines here from its middle.
    return ring[:, :2] - 0.5


def _class_name(feature: dict[str, Any]) -> str:
    properties = feature.get("properties")
    kind = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(kind, dict):
        names = kind.get("names")
        kind = kind.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return kind if isinstance(kind, str) else ""

"""Fields for annotation, as GeoJSON that QuPath opens and nuguide reads back as a data set."""

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shapely

from nuguide.colours import Rgb, colours_of
from nuguide.datasets.qupath_geojson import UNTYPED
from nuguide.datasets.qupath_samples import REGION
from nuguide.files import replacing

_DECIMALS = 2
_REGION_COLOUR, _UNTYPED_COLOUR = (200, 0, 200), (0, 200, 0)

_NAMESPACE = uuid.UUID("5c5f4f0e-6a0b-4b0e-9a57-0d8b7b1f7a11")


def write_fields(
    fields: Sequence[Any],
    nuclei: Sequence[tuple[Any, str | None]],
    path: Path,
    types: Sequence[str] = (),
    first: int = 1,
) -> None:
    """Write areas to annotate, and nuclei to begin with, as annotations that QuPath can edit.

    Parameters
    ----------
    fields : sequence of shapely polygon
        Areas, full-resolution px (x, y); each of the class ``Region*``.
    nuclei : sequence of (shapely polygon, str or None)
        Outlines and types, full-resolution px; a nucleus without a type is of the class
        ``Nucleus``.
    path : Path
        Ends in ``.geojson``.
    types : sequence of str
        Those that the model tells apart, in its order, which gives each its colour.
    first : int
        Number of the first area, by which it is called.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    colours = colours_of(types)
    features = [
        _feature(area, _region(), f"field {i}") for i, area in enumerate(fields, start=first)
    ]
    features += [_feature(outline, _class(kind, colours)) for outline, kind in nuclei]
    with replacing(path) as aside:
        aside.write_text(
            json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8"
        )


def _feature(outline: Any, kind: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    rings = [outline.exterior, *outline.interiors]
    corners = [shapely.get_coordinates(ring).round(_DECIMALS).tolist() for ring in rings]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, f"{kind['name']} {corners}")),
        "geometry": {"type": "Polygon", "coordinates": corners},
        "properties": {
            "objectType": "annotation",
            "classification": kind,
            **({"name": name} if name else {}),
        },
    }


def _region() -> dict[str, Any]:
    return {"name": REGION, "color": _REGION_COLOUR}


def _class(kind: str | None, colours: Mapping[str, Rgb]) -> dict[str, Any]:
    if kind is None:
        return {"name": UNTYPED, "color": _UNTYPED_COLOUR}
    return {"name": kind, "color": colours.get(kind, _UNTYPED_COLOUR)}

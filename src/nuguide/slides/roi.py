"""Regions of interest: polygons of GeoJSON, as QuPath exports annotations."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.documents import parse_json, unpacked
from nuguide.errors import InputError
from nuguide.slides.finding import check_exists, unreadable
from nuguide.slides.reader import Slide

MAX_BYTES = 256 << 20
"""Most bytes of a file, unpacked."""

MAX_POINTS = 10_000_000
MAX_DEPTH = 8
"""Collections within collections."""

SUBPIXEL_BITS = 4
"""Corners of polygons count to a 16th of a pixel of the mask."""

_FARTHEST_PX = 1e12

Ring = NDArray[np.float64]
"""(n, 2) corners x, y, full-resolution px."""

Polygon = list[Ring]
"""Its outline, then its holes."""


@dataclass(frozen=True)
class Roi:
    """A region of interest on a slide.

    Attributes
    ----------
    area : shapely geometry
        Polygons without overlap, full-resolution px (x, y), cut off at the slide's edge.
    mpp : float
        um/px at full resolution.
    reach, inside : ndarray
        (h, w) bool on the grid of the tissue mask: pixels that hold some of it, and perhaps a few
        beside these; and those whose middle lies in it.
    """

    area: Any
    mpp: float
    reach: NDArray[np.bool_]
    inside: NDArray[np.bool_]

    @property
    def area_mm2(self) -> float:
        """Its area, mm2."""
        return float(shapely.area(self.area)) * (self.mpp / 1e3) ** 2

    @property
    def sha256(self) -> str:
        """Digest of its outlines."""
        return hashlib.sha256(shapely.to_wkb(self.area)).hexdigest()

    def covers(
        self, y: NDArray[np.float64], x: NDArray[np.float64], mpp: float
    ) -> NDArray[np.bool_]:
        """Tell which points, in px of the grid at ``mpp``, lie in it or on its border."""
        scale = mpp / self.mpp
        return np.asarray(shapely.intersects_xy(self.area, x * scale, y * scale), np.bool_)


def read_roi(path: Path, slide: Slide) -> Roi:
    """Read polygons that were drawn on a slide.

    Parameters
    ----------
    path : Path
        GeoJSON, plain or packed by gzip: Polygon, MultiPolygon, GeometryCollection, Feature,
        FeatureCollection, or a list of features, with coordinates (x, y) in full-resolution px as
        QuPath counts them. Points and lines are passed over.
    slide : Slide
        What they were drawn on.

    Returns
    -------
    Roi
        Its masks are of ``slide.shape_at(slide.thumbnail_mpp())``.

    Raises
    ------
    InputError
        If it is not GeoJSON, holds no polygon or one that is none, is too large, or lies outside
        the slide.
    """
    polygons = _read_polygons(path)
    height, width = slide.shape
    # By their hulls: two halves of an outline that crosses itself cancel out.
    hulls = shapely.convex_hull([shapely.multipoints(outline) for outline, *_ in polygons])
    if not shapely.area(hulls).any():
        raise InputError(
            f"the polygons of {path.name} enclose no area; expected some; draw an area, not a line"
        )
    area = shapely.intersection(_joined(polygons), shapely.box(0, 0, width, height))
    if not shapely.area(area):
        corners = np.concatenate([ring for polygon in polygons for ring in polygon])
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        raise InputError(
            f"the polygons of {path.name} lie at x {left:.0f} to {right:.0f} and y {top:.0f} to "
            f"{bottom:.0f}, outside the slide of {width} x {height} px; expected full-resolution "
            "px of this slide; check that they were drawn on it and are not in um"
        )
    shapely.prepare(area)
    mpp = slide.thumbnail_mpp()
    return Roi(area, slide.mpp, *_masks(polygons, area, slide.shape_at(mpp), slide.mpp / mpp))


def _joined(polygons: Sequence[Polygon]) -> Any:
    """Join polygons, each made valid where its outline crosses itself."""
    made = [shapely.polygons(outline, holes or None) for outline, *holes in polygons]
    return shapely.union_all(shapely.make_valid(made))


def _masks(
    polygons: Sequence[Polygon], area: Any, shape: tuple[int, int], scale: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return ``reach`` and ``inside`` of a region; a px of the slide is ``scale`` of the mask."""
    drawn = np.zeros(shape, np.uint8)
    for polygon in polygons:
        # One call a polygon: its holes stay empty, another polygon may fill them.
        cv2.fillPoly(drawn, [_on_mask(ring, scale) for ring in polygon], 1, 8, SUBPIXEL_BITS)
    around = np.ones((3, 3), np.uint8)
    reach, inside = cv2.dilate(drawn, around) > 0, cv2.erode(drawn, around) > 0
    # OpenCV draws the border too; which of its pixels have their middle inside, the outlines tell.
    rows, columns = np.nonzero(reach & ~inside)
    middles = (columns + 0.5) / scale, (rows + 0.5) / scale
    inside[rows, columns] = shapely.contains_xy(area, *middles)
    return reach, inside


def _read_polygons(path: Path) -> list[Polygon]:
    check_exists(path)
    try:
        text = unpacked(path, MAX_BYTES)
        if len(text) > MAX_BYTES:
            raise InputError(
                f"{path.name} has more than {MAX_BYTES:,} bytes, unpacked; expected a region of "
                "interest of at most that many; export only the annotations you mean"
            )
        polygons = [
            [_ring(ring) for ring in rings] for rings in _rings_of_polygons(parse_json(text), 0)
        ]
    except OSError as fault:
        raise unreadable(path, fault) from fault
    except (ValueError, TypeError, LookupError, ArithmeticError) as fault:
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise InputError(
            f"{path.name} cannot be read as a region of interest ({reason}); expected GeoJSON with "
            "polygons in full-resolution px; export annotations from QuPath as GeoJSON"
        ) from fault
    polygons = [polygon for polygon in polygons if polygon]
    if not polygons:
        raise InputError(
            f"{path.name} holds no polygon; expected a Polygon or MultiPolygon; draw an area, not "
            "a point or a line"
        )
    if sum(len(ring) for polygon in polygons for ring in polygon) > MAX_POINTS:
        raise InputError(
            f"{path.name} has more than {MAX_POINTS:,} points; expected fewer; simplify its "
            "outlines"
        )
    return polygons


def _rings_of_polygons(value: Any, depth: int) -> Iterator[Any]:
    """Yield the coordinates of each polygon anywhere in a GeoJSON value."""
    if depth > MAX_DEPTH:
        raise ValueError("collections lie too deep in each other")
    if isinstance(value, list):
        for one in value:
            yield from _rings_of_polygons(one, depth + 1)
        return
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ValueError("no object with a type")
    match value["type"]:
        case "FeatureCollection":
            yield from _rings_of_polygons(list(value["features"]), depth + 1)
        case "GeometryCollection":
            yield from _rings_of_polygons(list(value["geometries"]), depth + 1)
        case "Feature":
            if value["geometry"] is not None:
                yield from _rings_of_polygons(value["geometry"], depth + 1)
        case "Polygon":
            yield value["coordinates"]
        case "MultiPolygon":
            yield from value["coordinates"]
        case "Point" | "MultiPoint" | "LineString" | "MultiLineString":
            return
        case other:
            raise ValueError(f"unknown type {other[:40]!r}")


def _ring(corners: Any) -> Ring:
    ring = np.array([(float(corner[0]), float(corner[1])) for corner in corners])
    if len(ring) < 3 or not all(map(math.isfinite, ring.ravel())):
        raise ValueError("an outline is no ring of three or more finite points")
    # No slide reaches so far, and products of coordinates stay numbers.
    return ring.clip(-_FARTHEST_PX, _FARTHEST_PX)


def _on_mask(ring: Ring, scale: float) -> NDArray[np.int32]:
    """Return the corners in fixed-point px of the mask, whose pixel 0 has its middle at 0.5."""
    fixed = (ring * scale - 0.5) * (1 << SUBPIXEL_BITS)
    # Far outside is outside, and OpenCV counts in 32 bits.
    return np.asarray(np.rint(fixed.clip(-1e8, 1e8)), np.int32)

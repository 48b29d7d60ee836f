"""Measurements of nuclei in um: shape from the outline, stain and confidence from the pixels."""

import hashlib
import math
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.nuclei.outlines import trace
from nuguide.nuclei.positivity import positivity_of
from nuguide.nuclei.schema import SCHEMA, empty_nuclei
from nuguide.nuclei.staining import Staining
from nuguide.nuclei.stains import Stains, od_of

_DETOUR = 8 * (math.sqrt(2) - 1) / math.pi

Calibrated = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From confidences, (N,), to probabilities that a true nucleus matches, (N,)."""

_HE = Staining()


@dataclass(frozen=True)
class Shapes:
    """Shape of N polygons, in units of their coordinates.

    Attributes
    ----------
    centroid : ndarray
        (N, 2) x, y.
    area, perimeter, major_axis, minor_axis, eccentricity, solidity : ndarray
        (N,) each; the perimeter is that of the smooth outline, see ``shapes_of``; axes are full
        lengths of the ellipse with the same second moments.
    """

    centroid: NDArray[np.float64]
    area: NDArray[np.float64]
    perimeter: NDArray[np.float64]
    major_axis: NDArray[np.float64]
    minor_axis: NDArray[np.float64]
    eccentricity: NDArray[np.float64]
    solidity: NDArray[np.float64]


def measure(
    labels: NDArray[np.int32],
    rgb: NDArray[np.uint8],
    foreground: NDArray[np.float32],
    *,
    origin_px: tuple[float, float],
    mpp: float,
    image_sha256: str,
    region: int = 0,
    types: NDArray[np.object_] | None = None,
    calibrated: Calibrated | None = None,
    staining: Staining = _HE,
) -> pa.Table:
    """Measure every nucleus of a label map.

    Parameters
    ----------
    labels : ndarray
        (h, w) int32, 0 = background.
    rgb : ndarray
        (h, w, 3) uint8, the same tissue.
    foreground : ndarray
        (h, w) float32, probability of nucleus, 0 to 1.
    origin_px : tuple of float
        (y, x) of the corner of ``labels[0, 0]``, full-resolution px.
    mpp : float
        um/px at full resolution.
    image_sha256 : str
        Digest of the image: with the outline it makes the id, so that a second run gives equal
        ids.
    region : int
        Written to the column ``region``.
    types : ndarray, optional
        (n + 1,) str, the name of each label's type; None where the model tells none apart.
    calibrated : callable, optional
        See ``Calibrated``; without it ``match_probability`` is null.
    staining : Staining
        Which stains are measured, and what counts as positive.

    Returns
    -------
    pyarrow.Table
        One row a label in ascending order, by ``SCHEMA``; ``type`` is null without ``types``,
        ``positivity`` without thresholds. Everything about shape is that of the polygon written
        (holes filled, largest piece); stains and confidence are means over all pixels of the
        label.

    Raises
    ------
    ValueError
        If the three maps are not of one size.
    """
    if not labels.shape == rgb.shape[:2] == foreground.shape:
        raise ValueError(
            f"labels {labels.shape}, rgb {rgb.shape} and foreground {foreground.shape}; expected "
            "the same height and width; read them of the same box"
        )
    outlines = trace(labels, origin_px)
    if outlines.labels.size == 0:
        return empty_nuclei()
    od, confidence = _means_inside(labels, outlines.labels, rgb, foreground, staining.stains)
    return described(
        outlines.polygons,
        mpp,
        od=od,
        confidence=confidence,
        image_sha256=image_sha256,
        region=region,
        types=None if types is None else types[outlines.labels],
        calibrated=calibrated,
        positive=staining.positive,
    )


def described(
    polygons: NDArray[np.object_],
    mpp: float,
    *,
    od: NDArray[np.float64],
    confidence: NDArray[np.float64],
    image_sha256: str,
    region: int = 0,
    types: NDArray[np.object_] | None = None,
    calibrated: Calibrated | None = None,
    positive: tuple[float, ...] = (),
) -> pa.Table:
    """Put nuclei with these outlines into a table.

    Parameters
    ----------
    polygons : ndarray
        (N,) shapely polygons, full-resolution px (x, y).
    mpp : float
        um/px at full resolution.
    od : ndarray
        (N, 2) mean optical density of haematoxylin and of the second stain.
    confidence : ndarray
        (N,) mean probability of nucleus.
    image_sha256, region, calibrated
        As in ``measure``.
    types : ndarray, optional
        (N,) str, the name of each one's type.
    positive : tuple of float
        Optical densities of the second stain, see ``nuguide.nuclei.positivity``.

    Returns
    -------
    pyarrow.Table
        One row a polygon, by ``SCHEMA``.
    """
    shapes = shapes_of(polygons)
    count = len(polygons)
    geometry = shapely.to_wkb(polygons)
    columns: dict[str, Any] = {
        "id": nucleus_ids(geometry, image_sha256),
        "geometry": geometry,
        "centroid_x_px": shapes.centroid[:, 0],
        "centroid_y_px": shapes.centroid[:, 1],
        "centroid_x_um": shapes.centroid[:, 0] * mpp,
        "centroid_y_um": shapes.centroid[:, 1] * mpp,
        "area_um2": shapes.area * mpp**2,
        "perimeter_um": shapes.perimeter * mpp,
        "major_axis_um": shapes.major_axis * mpp,
        "minor_axis_um": shapes.minor_axis * mpp,
        "eccentricity": shapes.eccentricity,
        "solidity": shapes.solidity,
        "hematoxylin_od_mean": od[:, 0],
        "second_stain_od_mean": od[:, 1],
        "confidence": confidence,
        "match_probability": (
            pa.nulls(count, pa.float64()) if calibrated is None else calibrated(confidence)
        ),
        "type": pa.nulls(count, pa.string()) if types is None else types,
        "positivity": (
            positivity_of(od[:, 1], positive) if positive else pa.nulls(count, pa.string())
        ),
        "region": np.full(count, region, np.int32),
    }
    return pa.table(columns, schema=SCHEMA)


def shapes_of(polygons: NDArray[np.object_]) -> Shapes:
    """Measure polygons without holes, wound positively in (x, y).

    Notes
    -----
    An outline through the middles of pixel edges goes along them or at 45 degrees, and so is longer
    than a smooth one by 8 (sqrt(2) - 1) / pi, the mean over all directions; the perimeter is its
    length divided by that (Kulpa, Computer Graphics and Image Processing 6, 1977: times 0.948).

    Second moments are those of the area inside, by Green's theorem over the edges; an ellipse of
    full axis a has the second moment a^2 / 16 along it.
    """
    points, ring = shapely.get_coordinates(polygons, return_index=True)
    centroid = shapely.get_coordinates(shapely.centroid(polygons))
    # About each centroid: far from the origin the moments would cancel to noise.
    points = points - centroid[ring]
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    # Rings are closed: the edge from a ring's last point to the next ring's first counts nothing.
    ahead = np.roll(points, -1, axis=0)
    cross = points[:, 0] * ahead[:, 1] - ahead[:, 0] * points[:, 1]
    cross[np.append(first[1:], len(points)) - 1] = 0.0

    def second_moment(i: int, j: int) -> NDArray[np.float64]:
        term = 2 * points[:, i] * points[:, j] + 2 * ahead[:, i] * ahead[:, j]
        term += points[:, i] * ahead[:, j] + ahead[:, i] * points[:, j]
        return np.add.reduceat(term * cross, first) / 24.0 / area

    area = np.add.reduceat(cross, first) / 2.0
    xx, yy, xy = second_moment(0, 0), second_moment(1, 1), second_moment(0, 1)
    mean, spread = (xx + yy) / 2.0, np.hypot((xx - yy) / 2.0, xy)
    large, small = mean + spread, np.maximum(mean - spread, 0.0)
    return Shapes(
        centroid=centroid,
        area=area,
        perimeter=shapely.length(polygons) / _DETOUR,
        major_axis=4.0 * np.sqrt(large),
        minor_axis=4.0 * np.sqrt(small),
        eccentricity=np.sqrt(1.0 - small / large),
        solidity=np.minimum(area / shapely.area(shapely.convex_hull(polygons)), 1.0),
    )


def nucleus_ids(outlines: Iterable[bytes], image_sha256: str) -> list[str]:
    """Make one UUID (version 5) of each outline, WKB: equal for equal image and outline."""
    image = uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{image_sha256}")
    begun = hashlib.sha1(image.bytes, usedforsecurity=False)
    # As hexadecimal text, which Python makes several times faster than GEOS.
    return [_uuid5(begun, wkb.hex().upper()) for wkb in outlines]


def _uuid5(begun: "hashlib._Hash", name: str) -> str:
    """Return ``str(uuid.uuid5(space, name))`` without its objects; ``begun`` has hashed space."""
    whole = begun.copy()
    whole.update(name.encode())
    digits = whole.hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _means_inside(
    labels: NDArray[np.int32],
    present: NDArray[np.int32],
    rgb: NDArray[np.uint8],
    foreground: NDArray[np.float32],
    stains: Stains,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean optical densities, (n, 2), and mean foreground probability of each label present."""
    size = int(present[-1]) + 1
    count, od, belief = _sums_inside(labels, rgb, foreground, stains.shares(), size)
    count = count[present]
    return od[present] / count[:, None], belief[present] / count


@compiled
def _sums_inside(
    labels: NDArray[np.int32],
    rgb: NDArray[np.uint8],
    foreground: NDArray[np.float32],
    shares: NDArray[np.float64],
    size: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Pixels, summed optical densities, (size, 2), and summed foreground of each label."""
    count, od, belief = np.zeros(size, np.int64), np.zeros((size, 2)), np.zeros(size)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                red, green, blue = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
                count[label] += 1
                od[label, 0] += od_of(shares, 0, red, green, blue)
                od[label, 1] += od_of(shares, 1, red, green, blue)
                belief[label] += foreground[y, x]
    return count, od, belief

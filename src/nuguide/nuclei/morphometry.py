"""Measurements of nuclei in um: shape from the outline, stain and confidence from the pixels."""

import binascii
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.nuclei.outlines import trace
from nuguide.nuclei.polygons import Polygons
from nuguide.nuclei.positivity import positivity_of
from nuguide.nuclei.schema import SCHEMA, empty_nuclei
from nuguide.nuclei.shapes import shapes_of
from nuguide.nuclei.staining import Staining
from nuguide.nuclei.stains import Stains, od_of

Calibrated = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From confidences, (N,), to probabilities that a true nucleus matches, (N,)."""

_HE = Staining()


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
    polygons: Polygons,
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
    polygons : Polygons
        N, full-resolution px.
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
    geometry = polygons.to_wkb()
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


def nucleus_ids(outlines: pa.BinaryArray, image_sha256: str) -> pa.StringArray:
    """Make one UUID (version 5) of each outline, WKB: equal for equal image and outline.

    The names hashed are the outlines as upper-case hexadecimal text, in the image's own namespace.
    """
    image = uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{image_sha256}")
    begun = hashlib.sha1(image.bytes, usedforsecurity=False)
    digests = []
    for outline in outlines.to_pylist():
        whole = begun.copy()
        whole.update(binascii.hexlify(outline).upper())
        digests.append(whole.digest())
    numbers = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, begun.digest_size)[:, :16]
    numbers = numbers.copy()
    numbers[:, 6] = numbers[:, 6] & 0x0F | 0x50
    numbers[:, 8] = numbers[:, 8] & 0x3F | 0x80
    return _in_words(numbers)


def _in_words(numbers: NDArray[np.uint8]) -> pa.StringArray:
    """Word UUIDs, (N, 16), as ``str(uuid.UUID(...))`` does."""
    count = len(numbers)
    words = np.full((count, 36), ord("-"), np.uint8)
    hexadecimal = np.frombuffer(binascii.hexlify(numbers.tobytes()), np.uint8).reshape(count, 32)
    words[:, [at for at in range(36) if at not in (8, 13, 18, 23)]] = hexadecimal
    ends = np.arange(0, 36 * count + 1, 36, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(words))


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

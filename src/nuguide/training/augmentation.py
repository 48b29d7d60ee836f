"""Random views of annotated tissue: geometry first, then stain, then the camera.

All of it is seeded by the generator that is handed in, so that a resumed training sees what the
uninterrupted one would have seen.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.training.recipe_parts import Augmentation
from nuguide.training.stain_vectors import OTHER_STAINS, unit_stains

Rgb = NDArray[np.uint8]
Coordinates = NDArray[np.float32]


def crop_coordinates(
    sample: Sample, mpp: float, size: int, chosen: Augmentation, random: np.random.Generator
) -> Coordinates:
    """Draw where each pixel of a crop lies in the sample.

    Returns
    -------
    ndarray
        (2 size, 2 size, 2) float32: (y, x) in px of the sample, at half the crop's pixels, so that
        colours can be averaged over each.
    """
    low, high = np.log(chosen.scale)
    zoom = np.exp(random.uniform(low, high))
    step = mpp / zoom / sample.mpp / 2
    angle = random.uniform(0, 2 * np.pi) if chosen.rotate else random.integers(4) * np.pi / 2
    mirror = random.choice([-1, 1])
    if chosen.upright:
        angle, mirror = 0.0, 1
    along = (np.arange(2 * size) - size + 0.5) * step
    y, x = np.meshgrid(along, along * mirror, indexing="ij")
    if chosen.elastic_px:
        y, x = (a + _smooth_field(2 * size, chosen.elastic_px * 2 * step, random) for a in (y, x))
    sine, cosine = np.sin(angle), np.cos(angle)
    height, width = sample.labels.shape
    reach = min(size * step, height / 2, width / 2)
    centre_y = random.uniform(reach, height - reach) - 0.5
    centre_x = random.uniform(reach, width - reach) - 0.5
    turned = (cosine * y - sine * x + centre_y, sine * y + cosine * x + centre_x)
    return np.stack(turned, axis=-1).astype(np.float32)


def _smooth_field(size: int, deviation: float, random: np.random.Generator) -> NDArray[np.float64]:
    coarse = random.normal(0, deviation, (size // 48 + 3, size // 48 + 3))
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))


def view(sample: Sample, coordinates: Coordinates) -> tuple[Rgb, NDArray[np.int32]]:
    """Sample image and labels at ``coordinates``, (2n, 2n, 2), into n x n px; edges mirror."""
    size = coordinates.shape[0] // 2
    fine = cv2.remap(
        sample.image,
        coordinates[..., 1],
        coordinates[..., 0],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    image = cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
    centres = cv2.resize(coordinates, (size, size), interpolation=cv2.INTER_AREA)
    labels = cv2.remap(
        sample.labels,
        centres[..., 1],
        centres[..., 0],
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(image, np.uint8), np.asarray(labels, np.int32)


def types_at(sample: Sample, coordinates: Coordinates) -> NDArray[np.int64]:
    """Read the types of nuclei at ``coordinates``, (2n, 2n, 2), as ``view`` reads the labels.

    Returns
    -------
    ndarray
        (n, n) int64: class, 0 in the background and wherever the sample tells none.
    """
    return _nearest(sample.types, coordinates).astype(np.int64)


def ignored_at(sample: Sample, coordinates: Coordinates) -> NDArray[np.bool_]:
    """Read where the annotation is ambiguous at ``coordinates``, as ``view`` reads the labels.

    Returns
    -------
    ndarray
        (n, n) bool; nowhere, if the sample has no ignore mask.
    """
    ignore = None if sample.ignore is None else sample.ignore.astype(np.uint8)
    return _nearest(ignore, coordinates) > 0


def _nearest(values: NDArray[np.uint8] | None, coordinates: Coordinates) -> NDArray[np.uint8]:
    """Sample a map of whole numbers as ``view`` samples labels; zeros where there is none."""
    size = coordinates.shape[0] // 2
    if values is None:
        return np.zeros((size, size), np.uint8)
    centres = cv2.resize(coordinates, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.remap(
            values,
            centres[..., 1],
            centres[..., 0],
            cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.uint8,
    )


def jitter_stain(image: Rgb, chosen: Augmentation, random: np.random.Generator) -> Rgb:
    """Change stains as laboratories do: vectors, amounts, and now and then the second stain itself.

    The picture is unmixed into haematoxylin, eosin and a residual in optical density, and mixed
    anew with stain vectors and amounts drawn at random.
    """
    if not chosen.stain:
        return image
    unmixing = unit_stains()
    density = -np.log((image.reshape(-1, 3) + 1.0) / 256)
    amounts = density @ np.linalg.inv(unmixing)
    mixing = unmixing.copy()
    spread = 0.25 * chosen.stain
    if random.random() < chosen.other_stain:
        stains = list(OTHER_STAINS.values())
        mixing[1] = stains[random.integers(len(stains))]
        amounts[:, 1] = np.maximum(amounts[:, 1], 0) * np.exp(random.normal(0, 0.5))
    mixing[:2] += random.normal(0, 0.06 * chosen.stain, (2, 3))
    mixing[:2] = np.maximum(mixing[:2], 0)
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    amounts *= np.exp(random.normal(0, spread, 3))
    amounts += random.normal(0, 0.03 * chosen.stain, 3)
    mixed = 256 * np.exp(-(amounts @ mixing)) - 1
    return np.clip(mixed, 0, 255).round().astype(np.uint8).reshape(image.shape)


def disturb(image: Rgb, chosen: Augmentation, random: np.random.Generator) -> Rgb:
    """Grey, brightness, contrast, blur, noise and JPEG, each by its probability."""
    if random.random() < chosen.grey:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = np.repeat(grey[..., None], 3, axis=2)
    values = image.astype(np.float32)
    mean = values.mean()
    values = (values - mean) * random.uniform(0.8, 1.2) + mean + random.uniform(-20, 20)
    if random.random() < chosen.blur:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.4, 1.5))
    if random.random() < chosen.noise:
        values = values + random.normal(0, random.uniform(2, 12), values.shape)
    result = np.clip(values, 0, 255).round().astype(np.uint8)
    if random.random() < chosen.jpeg:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 95))]
        _, packed = cv2.imencode(".jpg", result[..., ::-1], quality)
        result = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR_RGB), np.uint8)
    return result


def augmented_crop(
    sample: Sample, mpp: float, size: int, chosen: Augmentation, random: np.random.Generator
) -> tuple[Rgb, NDArray[np.int32], Coordinates]:
    """Draw a crop of ``size`` px at ``mpp`` um/px.

    Returns
    -------
    image : ndarray
        (size, size, 3) uint8 RGB.
    labels : ndarray
        (size, size) int32.
    coordinates : ndarray
        (2 size, 2 size, 2) float32, see ``crop_coordinates``: where a guide's tokens are read.
    """
    coordinates = crop_coordinates(sample, mpp, size, chosen, random)
    image, labels = view(sample, coordinates)
    return disturb(jitter_stain(image, chosen, random), chosen, random), labels, coordinates

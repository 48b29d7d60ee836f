"""Whole images as the published method sees and changes them: turned, enlarged, noisy.

As its code does it (``genAugmentation.py``), but drawn anew for each step and not written to disk.

Notes
-----
Deliberate differences. The code's one draw for both mirrors makes a turn by 180 degrees of the
two; here each mirror has its own. The code turns by the nearest pixel, then enlarges, then resizes
(both cubic); here all three are one cubic sampling. The code lists an elastic transform that its
own condition never lets fire; there is none here. A guide's tokens are those of the unchanged
image, read where the pixels lie; the code encodes every changed image.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nuguide.datasets.base import Sample
from nuguide.errors import RecipeError
from nuguide.evaluation.protocols import PROTOCOLS, RELEASED_SIDE_PX, RELEASED_THRESHOLD
from nuguide.training.augmentation import Coordinates, Rgb
from nuguide.training.recipe import Recipe
from nuguide.training.recipe_parts import ReleasedAugmentation
from nuguide.training.simplex_noise import octaves

_OCTAVES, _PERSISTENCE = 6, 0.6
_WAVELENGTH_PX = 32.0
"""Of the first octave, px of the image as it was before it was resized."""


def released_crop(
    sample: Sample, chosen: ReleasedAugmentation, random: np.random.Generator
) -> tuple[Rgb, NDArray[np.int32], Coordinates]:
    """Draw a view of a whole image.

    Returns
    -------
    image : ndarray
        (256, 256, 3) uint8 RGB.
    labels : ndarray
        (256, 256) int32.
    coordinates : ndarray
        (512, 512, 2) float32: (y, x) in px of the sample at half the view's pixels, as
        ``nuguide.training.augmentation.crop_coordinates`` gives them.
    """
    mirrors = [-1 if random.random() < chosen.mirror else 1 for _ in range(2)]
    angle = math.radians(random.integers(360)) if chosen.rotate else 0.0
    zoom = random.uniform(*chosen.zoom)
    # The side of the largest square inside a square that is turned.
    inner = sample.labels.shape[0] / (abs(math.cos(angle)) + abs(math.sin(angle)))
    coordinates = _coordinates(sample.labels.shape[0], inner / zoom, angle, mirrors)
    image, labels = _sampled(sample, coordinates)
    if random.random() < chosen.noise:
        noise = octaves(
            RELEASED_SIDE_PX,
            _WAVELENGTH_PX * RELEASED_SIDE_PX / inner,
            _OCTAVES,
            _PERSISTENCE,
            random,
        )
        share = chosen.noise_share
        image = ((1 - share) * image + share * 255 * noise[..., None]).astype(np.uint8)
    gamma = chosen.gamma[random.integers(len(chosen.gamma))]
    return with_gamma(image, gamma), labels, coordinates


def with_gamma(image: Rgb, gamma: float) -> Rgb:
    """Raise the image, as 0..1, to the power of 1 / ``gamma``: above 1 it becomes brighter."""
    table = (np.arange(256) / 255) ** (1 / gamma) * 255
    return np.asarray(cv2.LUT(image, table.astype(np.uint8)), np.uint8)


def whole(sample: Sample) -> Sample:
    """Return a sample resized as the protocol ``released`` does, but with its nuclei apart."""
    seen = PROTOCOLS["released"].view(sample)
    size = (RELEASED_SIDE_PX, RELEASED_SIDE_PX)
    numbers = cv2.resize(sample.labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return replace(seen, labels=_numbered(seen.labels > 0, np.asarray(numbers, np.int32)))


def check_view(sample: Sample, recipe: Recipe) -> None:
    """Refuse a sample that the recipe's view does not fit.

    Raises
    ------
    RecipeError
        If it is not square, or has other um/px than the recipe's once it is resized.
    """
    height, width = sample.labels.shape
    if height != width:
        raise RecipeError(
            f"{sample.name} is {height} x {width} px; expected square images, which "
            "released_augmentation resizes whole; cut them, or take a recipe of crops"
        )
    mpp = sample.mpp * width / RELEASED_SIDE_PX
    if not math.isclose(mpp, recipe.mpp, rel_tol=1e-3):
        raise RecipeError(
            f"{sample.name} has {mpp:g} um/px when it is resized whole to {RELEASED_SIDE_PX} px; "
            f"expected {recipe.mpp:g}, the recipe's; set mpp, and a guide's field_um to "
            f"{RELEASED_SIDE_PX} times that"
        )


def _coordinates(side: int, extent: float, angle: float, mirrors: list[int]) -> Coordinates:
    """Lay a turned and mirrored square of ``extent`` px in the middle of an image."""
    half_pixels = 2 * RELEASED_SIDE_PX
    along = (np.arange(half_pixels) + 0.5) * (extent / half_pixels) - extent / 2
    y, x = np.meshgrid(along, along, indexing="ij")
    sine, cosine = math.sin(angle), math.cos(angle)
    middle = (side - 1) / 2
    turned = (
        mirrors[0] * (cosine * y - sine * x) + middle,
        mirrors[1] * (sine * y + cosine * x) + middle,
    )
    return np.stack(turned, axis=-1).astype(np.float32)


def _sampled(sample: Sample, coordinates: Coordinates) -> tuple[Rgb, NDArray[np.int32]]:
    """Return image and labels at coordinates, cubic as the protocol ``released`` resizes them."""
    size = (RELEASED_SIDE_PX, RELEASED_SIDE_PX)
    centres = cv2.resize(coordinates, size, interpolation=cv2.INTER_AREA)

    def at(values: NDArray[np.generic], interpolation: int) -> NDArray[np.generic]:
        x, y = centres[..., 1], centres[..., 0]
        return cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REFLECT_101)

    mask = at(np.where(sample.labels > 0, np.uint8(255), np.uint8(0)), cv2.INTER_CUBIC)
    numbers = np.asarray(at(sample.labels, cv2.INTER_NEAREST), np.int32)
    image = np.asarray(at(sample.image, cv2.INTER_CUBIC), np.uint8)
    return image, _numbered(np.asarray(mask) > RELEASED_THRESHOLD, numbers)


def _numbered(mask: NDArray[np.bool_], numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give each pixel of a mask the number of its nearest nucleus."""
    if not mask.any() or not numbers.any():
        return np.zeros(mask.shape, np.int32)
    nearest = ndimage.distance_transform_edt(
        numbers == 0, return_distances=False, return_indices=True
    )
    return np.asarray(np.where(mask, numbers[tuple(nearest)], 0), np.int32)

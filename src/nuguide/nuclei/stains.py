"""How much of a stain lies under each pixel: colour deconvolution."""

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled

# Optical density per stain in red, green and blue: haematoxylin, eosin, DAB; from Ruifrok and
# Johnston, Analytical and Quantitative Cytology and Histology 23:291-299, 2001.
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_UNIT_STAINS = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
_HEMATOXYLIN = np.linalg.inv(_UNIT_STAINS)[:, 0]
# Optical density of each 8-bit value; 0 counts as 1, the darkest that 8 bits tell.
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255.0)
# What each value of each channel adds to the haematoxylin: a look-up in place of a product.
_SHARE = _HEMATOXYLIN[:, None] * _DENSITY


def hematoxylin_od(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Optical density of haematoxylin.

    Parameters
    ----------
    rgb : ndarray
        (..., 3) uint8; 255 is the light without tissue.

    Returns
    -------
    ndarray
        (...) float64 >= 0: length of the haematoxylin part of the pixel's optical density
        (-log10 of transmission, per channel) along the stain's unit vector; where other stains
        would leave less than none, 0.

    Notes
    -----
    The vectors are those of the paper, not fitted to the slide: compare values within one
    laboratory and scanner.
    """
    pixels = np.ascontiguousarray(rgb).reshape(-1, 3)
    return _of_each(pixels).reshape(rgb.shape[:-1])


@compiled
def hematoxylin_of(red: int, green: int, blue: int) -> float:
    """Optical density of haematoxylin of one pixel; see ``hematoxylin_od``."""
    return max(_SHARE[0, red] + _SHARE[1, green] + _SHARE[2, blue], 0.0)


@compiled
def _of_each(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    density = np.empty(len(pixels))
    for at in range(len(pixels)):
        density[at] = hematoxylin_of(pixels[at, 0], pixels[at, 1], pixels[at, 2])
    return density

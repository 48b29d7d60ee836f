"""Optical densities of stains, as both augmentations mix them: on the CPU and on a GPU."""

import numpy as np
from numpy.typing import NDArray

# Optical density (R, G, B) of the stains: Ruifrok and Johnston, Anal. Quant. Cytol. Histol., 2001.
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
OTHER_STAINS = {
    "DAB, brown": np.array([0.27, 0.57, 0.78]),
    "fast red": np.array([0.21, 0.85, 0.48]),
    "PAS, magenta": np.array([0.18, 0.91, 0.37]),
    "light green": np.array([0.95, 0.12, 0.30]),
    "haematoxylin alone": np.array([0.65, 0.70, 0.29]),
}


def unit_stains() -> NDArray[np.float64]:
    """Return haematoxylin, eosin and what is left, (3, 3), rows of length one."""
    vectors = np.stack([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

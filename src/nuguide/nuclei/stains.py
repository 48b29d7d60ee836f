"""How much of two stains lies under each pixel: colour deconvolution."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.compiled import compiled
from nuguide.errors import InputError

Rgb = tuple[float, float, float]
"""Of red, green and blue: optical densities of a stain, or values of the light without tissue."""

_LEAST_VOLUME = 0.05
"""Of the box that the unit vectors span; that of two stains 3 degrees apart. 1 / it is how much
the noise of a pixel grows."""


@dataclass(frozen=True)
class Stains:
    """Haematoxylin and the stain beside it, as light sees them.

    Attributes
    ----------
    second : str
        Name of the second stain, as QuPath has it: ``Eosin``, ``DAB``. It stands in records and
        tables, so it is printable.
    vectors : tuple of Rgb
        Optical density in red, green and blue, of any length, >= 0: of haematoxylin, of the
        second stain, and of a third one where there is one. Without it, what the two do not
        explain is told apart by a residual at right angles to both.
    background : Rgb
        Values of the light without tissue, above 0 to 255.

    Raises
    ------
    InputError
        If the name cannot be printed, there are more or fewer vectors or values, a number makes no
        sense, or the vectors hardly differ in direction.
    """

    second: str
    vectors: tuple[Rgb, Rgb] | tuple[Rgb, Rgb, Rgb]
    background: Rgb = (255.0, 255.0, 255.0)

    def __post_init__(self) -> None:
        if not self.second.strip() or not self.second.isprintable():
            raise InputError(
                f"a stain is called {self.second!r}; expected a name that can be printed, such as "
                "DAB; correct it"
            )
        if len(self.vectors) not in (2, 3) or {len(vector) for vector in self.vectors} != {3}:
            raise InputError(
                f"stains are {self.vectors!r}; expected the optical densities in red, green and "
                "blue of haematoxylin, of the second stain and, where there is one, of a third"
            )
        for vector in self.vectors:
            if not (all(math.isfinite(v) and v >= 0 for v in vector) and any(vector)):
                raise InputError(
                    f"a stain has the optical densities {_words(vector)}; expected three numbers "
                    "of 0 or more, not all 0; copy those that QuPath shows"
                )
        if len(self.background) != 3 or not all(0 < value <= 255 for value in self.background):
            raise InputError(
                f"the background of the stains is {_words(self.background)}; expected three "
                "numbers above 0, up to 255; copy those that QuPath shows"
            )
        if abs(np.linalg.det(self._mixing())) < _LEAST_VOLUME:
            raise InputError(
                f"the stains {', '.join(map(_words, self.vectors))} have nearly the same colour; "
                "expected optical densities that can be told apart; estimate them on tissue where "
                "each stain lies alone"
            )

    def _mixing(self) -> NDArray[np.float64]:
        """Return unit vectors of the two stains and of what is left, (3, 3), a row each."""
        vectors = np.array(self.vectors)
        if len(vectors) == 2:
            # Of units, so that the box they span has the sine of the two stains' angle.
            units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            third = np.cross(*units)
            if not third.any():
                return np.stack([*units, third])
            vectors = np.stack([*vectors, third])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def shares(self) -> NDArray[np.float64]:
        """Return what each value of each channel adds to each stain.

        Returns
        -------
        ndarray
            (2, 3, 256) optical density of haematoxylin and of the second stain, by channel (red,
            green, blue) and 8-bit value: look-ups in place of products. 0 counts as 1, the
            darkest that 8 bits tell, and what is brighter than the background as the background.
        """
        unmixing = np.linalg.inv(self._mixing())[:, :2]
        light = np.array(self.background)[:, None]
        density = np.maximum(-np.log10(np.maximum(np.arange(256), 1) / light), 0.0)
        return np.ascontiguousarray(unmixing.T[:, :, None] * density)

    def configuration(self) -> dict[str, Any]:
        """Return what decides the measurements, as it stands in ``run.toml``."""
        return {
            "second": self.second,
            "vectors": [[float(value) for value in vector] for vector in self.vectors],
            "background": [float(value) for value in self.background],
        }


def _words(values: Rgb) -> str:
    return " ".join(f"{value:g}" for value in values)


# From Ruifrok and Johnston, Analytical and Quantitative Cytology and Histology 23:291-299, 2001.
_HEMATOXYLIN, _EOSIN, _DAB = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)

HE = Stains("Eosin", (_HEMATOXYLIN, _EOSIN, _DAB))
"""Of H&E. What is neither is taken for DAB, as in the paper and in scikit-image's ``rgb2hed``."""

HDAB = Stains("DAB", (_HEMATOXYLIN, _DAB))
"""Of immunohistochemistry with DAB; QuPath's "H-DAB default"."""


def stain_od(rgb: NDArray[np.uint8], stains: Stains = HE) -> NDArray[np.float64]:
    """Optical density of haematoxylin and of the second stain.

    Parameters
    ----------
    rgb : ndarray
        (..., 3) uint8.
    stains : Stains
        Which, and how they look.

    Returns
    -------
    ndarray
        (..., 2) float64 >= 0: length of the stain's part of the pixel's optical density (-log10 of
        transmission, per channel) along its unit vector; where other stains would leave less than
        none, 0.

    Notes
    -----
    The vectors are those that are stated, not fitted to the slide: compare values within one
    laboratory and scanner.
    """
    pixels = np.ascontiguousarray(rgb).reshape(-1, 3)
    return _of_each(pixels, stains.shares()).reshape(*rgb.shape[:-1], 2)


@compiled
def od_of(shares: NDArray[np.float64], stain: int, red: int, green: int, blue: int) -> float:
    """Optical density of one stain, 0 or 1, of one pixel; ``shares`` are those of the stains."""
    return max(shares[stain, 0, red] + shares[stain, 1, green] + shares[stain, 2, blue], 0.0)


@compiled
def _of_each(pixels: NDArray[np.uint8], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    density = np.empty((len(pixels), 2))
    for at in range(len(pixels)):
        for stain in range(2):
            density[at, stain] = od_of(shares, stain, pixels[at, 0], pixels[at, 1], pixels[at, 2])
    return density

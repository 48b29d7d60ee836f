"""Microns per pixel: what a file tells, in whatever words, and which of it is believed."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nuguide.errors import ResolutionError
from nuguide.units import MPP_RANGE, checked_mpp

MAX_ANISOTROPY = 0.03
"""How much the sides of a pixel may differ, of the longer: within it their mean is taken."""

UM_PER_UNIT = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "inch": 25_400.0,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
}
"""um in a unit of length, by the names that files use."""

_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")

UM_TIMES_POWER = 10.0
"""um/px times objective power, by convention: 40x is 0.25 um/px. Scanners differ by 10 %."""


@dataclass(frozen=True)
class Scale:
    """Microns per pixel that a file tells of itself, and where in the file they stand."""

    mpp_x: float
    mpp_y: float
    source: str

    @property
    def mpp(self) -> float:
        """The mean of both axes, um/px."""
        return (self.mpp_x + self.mpp_y) / 2.0

    @property
    def is_square(self) -> bool:
        """Whether a pixel's sides are equal within ``MAX_ANISOTROPY``."""
        longer = max(self.mpp_x, self.mpp_y)
        return abs(self.mpp_x - self.mpp_y) <= MAX_ANISOTROPY * longer


@dataclass(frozen=True)
class Settled:
    """The um/px that are used, where they came from, and what is to be said about them."""

    mpp: float
    source: str
    warnings: tuple[str, ...] = ()


UNKNOWN = Settled(0.25, "not known")
"""Stands in for a scale while one is estimated."""


def plausible_scale(mpp_x: float, mpp_y: float, source: str) -> Scale | None:
    """Return the scale if a microscope can have it, else None.

    Screens and printers write their own resolution into images: 72 to 300 dots an inch are 353
    to 85 um/px, far outside ``MPP_RANGE``.
    """
    low, high = MPP_RANGE
    if not (low <= mpp_x <= high and low <= mpp_y <= high):
        return None
    return Scale(mpp_x, mpp_y, source)


def finite_number(text: str | None) -> float | None:
    """Read a number out of a file's metadata; None if there is none, or no finite one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def leading_number(text: str | None) -> float | None:
    """Read the number that a text begins with, as in "40x"; None if there is none.

    Examples
    --------
    >>> leading_number("40x"), leading_number(".2525|Filename"), leading_number("forty")
    (40.0, 0.2525, None)
    """
    found = _NUMBER.match((text or "").lstrip())
    return finite_number(found[0]) if found else None


def settle_scale(
    name: str,
    given: float | None,
    told: Sequence[Scale],
    objective_power: float | None = None,
    estimate: Callable[[], Settled] | None = None,
) -> Settled:
    """Decide an image's um/px: what the user gives, else what the file tells, else its objective.

    Where all are missing, an estimate is made if there is a way to.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    given : float or None
        ``--mpp``.
    told : sequence of Scale
        What the file tells, the most trustworthy first.
    objective_power : float or None
        Nominal magnification, from which 10 / power um/px follow, with a warning.
    estimate : callable, optional
        Makes an estimate.

    Raises
    ------
    ResolutionError
        If ``given`` is out of range, if nothing tells, or if pixels are not square.
    """
    if given is not None:
        return Settled(checked_mpp(given), "--mpp")
    if told:
        scale = told[0]
        if not scale.is_square:
            raise ResolutionError(
                f"{name} tells {scale.mpp_x:g} um/px across and {scale.mpp_y:g} down "
                f"({scale.source}); expected square pixels, within {MAX_ANISOTROPY:.0%}; "
                "resample it, or state what is right with --mpp"
            )
        return Settled(scale.mpp, scale.source)
    if objective_power is not None and math.isfinite(objective_power) and objective_power > 0:
        nominal = UM_TIMES_POWER / objective_power
        guess = plausible_scale(nominal, nominal, "objective power")
        if guess is not None:
            return Settled(
                guess.mpp,
                f"objective power {objective_power:g}",
                (
                    f"{name} tells no microns per pixel, only its objective: "
                    f"{objective_power:g}x was taken as {guess.mpp:g} um/px, which may be off by "
                    "10 % or more; give --mpp if you know better",
                ),
            )
    if estimate is not None:
        return estimate()
    raise ResolutionError(
        f"{name} does not tell its microns per pixel; expected them in its metadata or "
        "from you; add for example --mpp 0.25 (40x) or --mpp 0.5 (20x), or --mpp estimate for a "
        "rough guess from the size of nuclei"
    )

"""Units: microns per pixel (um/px) and what follows from it.

Every image carries its um/px; everything a user reads is in um and um2.
"""

import math
from typing import Literal

from nuguide.errors import ResolutionError

MPP_RANGE = (0.05, 20.0)
"""Smallest and largest um/px that a microscope image of tissue can have."""

AskedMpp = float | Literal["estimate"]
"""What a user may ask for: um/px, or an estimate from nucleus size where a file tells none."""


def asked_mpp(text: str | None) -> AskedMpp | None:
    """Return what ``--mpp`` asks for; None where it was left out.

    Raises
    ------
    ResolutionError
        If it is neither "estimate" nor a possible number.
    """
    if text == "estimate":
        return "estimate"
    return None if text is None else checked_mpp(text)


def checked_mpp(value: object, source: str = "--mpp") -> float:
    """Return ``value`` as um/px after checking that it can be one.

    Parameters
    ----------
    value : object
        A number, or text that spells one.
    source : str
        Where the value came from, for the error message.

    Returns
    -------
    float
        Microns per pixel, within ``MPP_RANGE``.

    Raises
    ------
    ResolutionError
        If ``value`` is not a finite number within ``MPP_RANGE``.
    """
    low, high = MPP_RANGE
    try:
        mpp = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        mpp = math.nan
    if not (low <= mpp <= high):
        got = "gives no um/px" if value is None else f"says {value!r} um/px"
        raise ResolutionError(
            f"{source} {got}; expected a number from {low} to {high}; "
            "give the image's microns per pixel, for example 0.25 (40x) or 0.5 (20x)"
        )
    return mpp

"""Units: microns per pixel (um/px) and what follows from it.

Every image carries its um/px; everything a user reads is in um and um2.
"""

import math
from typing import Literal

from nuguide.errors import ResolutionError

MPP_RANGE = (0.05, 20.0)
"""Smallest and largest um/px that a microscope image of tissue can have."""

COARSE, TOO_COARSE = 2.0, 4.0
"""Times a model's um/px from which an image is doubtful, and beyond which it is refused."""

OBJECTIVE_POWERS = (10.0, 20.0, 40.0, 60.0)
"""Magnifications, which are easily given for um/px."""

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
            f"{source} {got}; expected a number from {low} to {high}; {_power_hint(mpp)}"
            "give the image's microns per pixel, for example 0.25 (40x) or 0.5 (20x)"
        )
    return mpp


def coarseness_warning(name: str, mpp: float, source: str, model_mpp: float) -> str:
    """Return what is to be said of an image that is coarse for a model; empty if it is not.

    Parameters
    ----------
    name : str
        Of the image.
    mpp, model_mpp : float
        um/px of the image and of the model.
    source : str
        Where ``mpp`` came from.

    Raises
    ------
    ResolutionError
        If it is coarser than ``TOO_COARSE`` times the model's: what would be found are no nuclei.
    """
    times = mpp / model_mpp
    if times <= COARSE:
        return ""
    is_coarse = f"{name} has {mpp:g} um/px ({source}), {times:.3g} times the model's {model_mpp:g}"
    if times <= TOO_COARSE:
        return (
            f"{is_coarse}: nuclei are a few pixels wide, many will be missed or merged; use an "
            "image of a finer scale, or give --mpp if you know better"
        )
    raise ResolutionError(
        f"{is_coarse}; expected {TOO_COARSE * model_mpp:g} um/px or finer, for nuclei to be seen; "
        f"{_power_hint(mpp)}use an image of a finer scale, or give the right --mpp"
    )


def _power_hint(mpp: float) -> str:
    """Return a hint, for a message, where um/px look like an objective's power."""
    if mpp not in OBJECTIVE_POWERS:
        return ""
    return f"{mpp:g} looks like an objective: um/px of 20x is about 0.5 and of 40x about 0.25; "

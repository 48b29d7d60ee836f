"""Which stains a user means: those of H&E or H-DAB, or QuPath's own line with a lab's vectors."""

import re
from pathlib import Path
from typing import Any

from nuguide.documents import parse_json
from nuguide.errors import InputError
from nuguide.nuclei.stains import HDAB, HE, Rgb, Stains

NAMED = {"he": HE, "hdab": HDAB}

AskedStains = str | Path | Stains
"""A name of ``NAMED``, a file with QuPath's line, or stains."""

MAX_FILE_BYTES = 1 << 16
_HEMATOXYLIN = ("hematoxylin", "haematoxylin", "haem", "h")  # QuPath's spellings
_KEYS = {"Name", "Background", *(f"{what} {n}" for what in ("Stain", "Values") for n in (1, 2, 3))}
_EXPECTED = (
    "expected he, hdab, or a text file with QuPath's line setColorDeconvolutionStains('{...}')"
)


def asked_stains(asked: AskedStains) -> Stains:
    """Return the stains that a user asks for.

    Parameters
    ----------
    asked : str, Path or Stains
        ``he``, ``hdab``, or the path of a text file that holds what QuPath writes into a script
        for an image's stains, ``setColorDeconvolutionStains('{"Name" : ..., "Stain 1" :
        "Hematoxylin", "Values 1" : "0.65 0.70 0.29", "Stain 2" : "DAB", ...}')``, or the braces
        alone. Stain 1 is haematoxylin; a third stain and the background may be left out.

    Raises
    ------
    InputError
        If it is neither, or says what makes no sense.
    """
    if isinstance(asked, Stains):
        return asked
    if (named := NAMED.get(str(asked))) is not None:
        return named
    path = Path(asked)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is too long for QuPath's stains; {_EXPECTED}; correct it")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        raise InputError(
            f"stains {str(asked)!r} are no name and no file that can be read ({fault}); "
            f"{_EXPECTED}; correct it"
        ) from fault
    try:
        return _stains_of(text)
    except ValueError as fault:
        raise InputError(
            f"{path} cannot be read as stains ({fault}); {_EXPECTED}; copy the line from the "
            "script of QuPath's Workflow tab"
        ) from fault
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from fault


def _stains_of(text: str) -> Stains:
    """Read QuPath's line; a ValueError says what is wrong with its form."""
    (braces, *more) = re.findall(r"\{.*?\}", text, re.DOTALL) or [""]
    if not braces or more:
        raise ValueError("it does not hold {...} once")
    told: dict[str, Any] = parse_json(braces)
    if unknown := sorted(told.keys() - _KEYS):
        raise ValueError(f"unknown {', '.join(unknown)}")
    if not all(isinstance(value, str) for value in told.values()):
        raise ValueError("a value is no text in quotes")
    three = bool(told.keys() & {"Stain 3", "Values 3"})
    needed = [f"{what} {n}" for n in (1, 2, 3)[: 2 + three] for what in ("Stain", "Values")]
    if missing := [key for key in needed if key not in told]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    first, second = told["Stain 1"].strip(), told["Stain 2"].strip()
    if first.lower() not in _HEMATOXYLIN:
        raise ValueError(f"stain 1 is {first!r}, not Hematoxylin")
    if not second or second.lower() in _HEMATOXYLIN:
        raise ValueError(f"stain 2 is {second!r}, not a stain beside haematoxylin")
    one, other = _three(told, "Values 1"), _three(told, "Values 2")
    background = _three(told, "Background") if "Background" in told else HE.background
    if three:
        return Stains(second, (one, other, _three(told, "Values 3")), background)
    return Stains(second, (one, other), background)


def _three(told: dict[str, str], key: str) -> Rgb:
    numbers = [float(word) for word in told[key].replace(",", " ").split()]
    if len(numbers) != 3:
        raise ValueError(f"{key} are {told[key]!r}, not three numbers")
    red, green, blue = numbers
    return red, green, blue

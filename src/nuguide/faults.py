"""What is wrong with the values of a file, in a line: the words of every reader."""

from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError

_LIKENESS = 0.5
"""From which on a key may have been meant, 0 to 1."""


def first_fault(
    error: ValidationError, what: str, skipped: int = 0, model: type[BaseModel] | None = None
) -> str:
    """Word the first fault that was found, and say how many more there are.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    what : str
        What was read, in the plural, such as "recipes".
    skipped : int
        How many parts of the fault's place to leave out at its beginning.
    model : type, optional
        What the values were checked by; then keys that may have been meant are named.
    """
    fault = error.errors(include_url=False)[0]
    more = f", and {error.error_count() - 1} more faults" if error.error_count() > 1 else ""
    place = [str(part) for part in fault["loc"][skipped:]]
    where = ".".join(place)
    if fault["type"] == "extra_forbidden":
        meant = get_close_matches(place[-1], _keys_beside(place, model), cutoff=_LIKENESS)
        expected = f"expected {' or '.join(meant)}" if meant else f"expected a key that {what} have"
        return f"{where} is unknown; {expected}{more}"
    got, message = fault["input"], fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(got, dict | list) else f" (got {str(got)[:80]!r})"
    return f"{where}: {message}{shown}{more}" if where else f"{message}{shown}{more}"


def _keys_beside(place: Sequence[str], model: type[BaseModel] | None) -> list[str]:
    """Return the keys that the table may have in which the last of ``place`` is none."""
    for part in place[:-1]:
        field = None if model is None else model.model_fields.get(part)
        inner = None if field is None else field.annotation
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    return [] if model is None else list(model.model_fields)

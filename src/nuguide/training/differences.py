"""How two recipes differ, in words; of plain values, since a lent machine has no pydantic."""

from collections.abc import Iterator
from typing import Any

_SHOWN = 3


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Word where two nested tables differ; empty where they do not.

    Examples
    --------
    >>> differences({"seed": 0, "losses": {"dice": 1.0}}, {"seed": 0, "losses": {"dice": 2.0}})
    'losses.dice 1.0, now 2.0'
    """
    found = list(_differing(there, here, ""))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _differing(there: dict[str, Any], here: dict[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted(there.keys() | here.keys()):
        before, now = there.get(key), here.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differing(before, now, f"{prefix}{key}.")
        elif before != now:
            yield f"{prefix}{key} {before!r}, now {now!r}"

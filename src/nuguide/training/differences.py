"""How two recipes differ, in words; of plain values, since a lent machine has no pydantic."""

from typing import Any

_SHOWN = 3


def differences(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Word where two nested tables differ; empty where they do not.

    Examples
    --------
    >>> differences({"seed": 0, "losses": {"dice": 1.0}}, {"seed": 0, "losses": {"dice": 2.0}})
    'losses.dice 1.0, now 2.0'
    """
    before, now = flattened(there), flattened(here)
    found = [
        f"{key} {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before | now)
        if before.get(key) != now.get(key)
    ]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

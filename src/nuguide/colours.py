"""Colours of nuclei's types and positivity, the same wherever nuclei are drawn."""

from collections.abc import Sequence

Rgb = tuple[int, int, int]
"""Red, green, blue, 0..255."""

TYPE_COLOURS: tuple[Rgb, ...] = (
    (0, 255, 60),
    (255, 225, 25),
    (0, 240, 240),
    (255, 130, 0),
    (0, 110, 255),
    (255, 255, 255),
    (190, 0, 0),
)
"""Of the first type, the second, ...; after the last they begin again.

Seen on pink, purple and brown, and told apart by people who do not tell red from green.
"""

POSITIVITY_COLOURS: dict[str, Rgb] = {
    "Negative": (0, 110, 255),
    "Positive": (255, 0, 0),
    "1+": (255, 225, 25),
    "2+": (255, 130, 0),
    "3+": (255, 0, 0),
}
"""Of QuPath's classes of staining: its hues, brighter, to be seen on blue and brown nuclei."""


def colours_of(types: Sequence[str]) -> dict[str, Rgb]:
    """Return the colour of each type by its name, given the types in their own order."""
    return {name: TYPE_COLOURS[k % len(TYPE_COLOURS)] for k, name in enumerate(types)}

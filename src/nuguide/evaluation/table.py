"""Scores for whoever reads them in a terminal: the table, the definitions, what the interval is."""

from rich.table import Table

from nuguide.evaluation.intervals import RESAMPLES
from nuguide.evaluation.protocols import PROTOCOLS, UNMASKED
from nuguide.evaluation.record import ORIGINS, Scores, Summary

TITLES = {
    "dice_foreground": "Dice, foreground",
    "iou_foreground": "IoU, foreground",
    "dice_macro": "Dice, macro",
    "iou_macro": "IoU, macro",
    "dice_weighted": "Dice, weighted",
    "iou_weighted": "IoU, weighted",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "dq": "DQ (F1 of detection)",
    "sq": "SQ",
    "pq": "PQ",
    "dice2": "DICE2",
    "count_ratio": "nuclei, predicted / true",
    "area_ratio": "area, predicted / true",
    "area_deviation": "area, relative deviation",
    "centroid_um": "distance of centroids, um",
    "mpq_plus": "mPQ+",
    "r2": "R2 of counts",
}
"""What a score is called in print."""


def title_of(name: str) -> str:
    """Return what a score is called in print, by its name in the JSON file; else that name."""
    plain = name.removesuffix(UNMASKED)
    kind, _, number = plain.rpartition("_")
    typed = kind in TITLES and number.isdigit()
    title = f"{TITLES[kind]}, type {number}" if typed else TITLES.get(plain, plain)
    return title if plain == name else f"{title}, ambiguous areas scored"


def headline(scores: Scores) -> str:
    """Return one line: what was scored on what, over how many images."""
    n = len(scores.images)
    return (
        f"{scores.model} on {scores.data}, split {scores.split}, protocol {scores.protocol}: "
        f"means over {n} images"
    )


def interval_line(scores: Scores) -> str:
    """Return one line: what the intervals are, and what was drawn."""
    drawn = "images" if scores.unit == "image" else ORIGINS
    if scores.n_units == 1:
        one = "image" if scores.unit == "image" else "patient or slide"
        return f"no interval: one {one} tells nothing of how much they differ"
    return f"95 % interval: percentile bootstrap over {scores.n_units} {drawn}; {RESAMPLES:,} draws"


def rule_line(scores: Scores) -> str:
    """Return one line: the rules of the protocol, as far as this version knows it."""
    known = {str(name): rules.description for name, rules in PROTOCOLS.items()}
    return f"protocol {scores.protocol}: {known.get(scores.protocol, 'not known here')}"


def score_table(scores: Scores) -> Table:
    """Return the table of all scores, one row each: mean, 95 % interval, spread."""
    table = Table(box=None, pad_edge=False)
    table.add_column("score", no_wrap=True)
    for heading in ("mean", "95 % interval", "std"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in scores.summaries.items():
        table.add_row(name, f"{row.mean:.3f}", *spread_of(scores, row))
    return table


def spread_of(scores: Scores, row: Summary) -> tuple[str, str]:
    """Word the interval and the standard deviation of one score; dashes where there is none."""
    interval = f"{row.low:.3f} to {row.high:.3f}" if scores.n_units > 1 else "-"
    return interval, "-" if row.std is None or row.n == 1 else f"{row.std:.3f}"


def definition_lines(scores: Scores) -> list[str]:
    """Return one line a score: its name, definition and averaging rule."""
    width = max(len(name) for name in scores.summaries)
    return [f"{name:<{width}}  {row.definition}" for name, row in scores.summaries.items()]

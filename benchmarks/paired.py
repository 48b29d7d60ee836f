"""Rows of scores of one set of images under several conditions, the first being the reference."""

from collections.abc import Sequence

from nuguide.evaluation.compare import compare
from nuguide.evaluation.record import Scores

SHOWN = ("dice_foreground", "aji", "pq", "count_ratio")


def paired_rows(scores: Sequence[Scores]) -> dict[str, dict[str, float]]:
    """Return mean scores by condition, and the change of AJI from the first, paired by image.

    Conditions are called as the ``model`` of each; the change comes with its 95 % interval.
    """
    gaps = compare(scores, [each.model for each in scores]).differences
    rows = {}
    for found, gap in zip(scores, ({}, *gaps), strict=True):
        row = {name: found.summaries[name].mean for name in SHOWN}
        if "aji" in gap:
            interval = gap["aji"].interval
            row |= {"change": interval.mean, "low": interval.low, "high": interval.high}
        rows[found.model] = {name: round(value, 4) for name, value in row.items()}
    return rows

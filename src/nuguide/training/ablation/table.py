"""What the rows of an ablation say together: means, differences to the reference, controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from nuguide.errors import InputError
from nuguide.evaluation.intervals import Interval, units_of
from nuguide.evaluation.record import ORIGINS
from nuguide.evaluation.seeds import RULE, crossed_mean
from nuguide.guides.controls import Control
from nuguide.training.ablation.grid import Grid
from nuguide.training.ablation.rows import Row

SHOWN = {"dice_foreground": "Dice", "aji": "AJI", "pq": "PQ"}
"""Scores of the table and their titles."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One variant over its seeds.

    Attributes
    ----------
    variant, about, reference : str
        As the grid names them.
    seeds : tuple of int
        Those that were trained.
    n_fit, n_images : int
        Images that were fitted on, and scored.
    n_units : int
        What the intervals draw: the scored images, or where several share one their patients or
        slides.
    means : dict of str to Interval
        By score.
    differences : dict of str to Interval
        Minus the reference's, paired by seed and image, over the seeds that both have; empty for
        the reference, and where it has none of these seeds.
    controls : dict of Control to Interval
        AJI of the same networks with other tokens, minus that with their own.
    parameters, steps : int
        Of the network, of the training.
    seconds : float or None
        Mean wall time of a training.
    """

    variant: str
    about: str
    reference: str
    seeds: tuple[int, ...]
    n_fit: int
    n_images: int
    n_units: int
    means: dict[str, Interval]
    differences: dict[str, Interval]
    controls: dict[Control, Interval]
    parameters: int
    steps: int
    seconds: float | None


def entries(grid: Grid, rows: Sequence[Row]) -> list[Entry]:
    """Sum up the rows of each variant of a grid that has any, in the grid's order.

    Parameters
    ----------
    grid : Grid
        Names, texts and references.
    rows : sequence of Row
        Of one data set and split.

    Raises
    ------
    InputError
        If the rows are not all of one data set, split and images.
    """
    check_alike(rows)
    by_variant = {
        name: {row.seed: row for row in rows if row.variant == name} for name in grid.variants
    }
    return [
        _entry(grid, name, of_seed, by_variant[grid.reference_of(name)])
        for name, of_seed in by_variant.items()
        if of_seed
    ]


def check_alike(rows: Sequence[Row]) -> None:
    """Refuse rows that cannot be compared.

    Raises
    ------
    InputError
        If they are not all of one data set, split and images.
    """
    kinds = {
        (row.data, row.split, tuple(image["name"] for image in row.own.images)) for row in rows
    }
    if len(kinds) > 1:
        shown = " and ".join(sorted({f"{data} {split}" for data, split, *_ in kinds}))
        raise InputError(
            f"the runs were scored on different images ({shown}); expected one data set and split "
            "in a file; keep another file for another split"
        )


def _entry(grid: Grid, name: str, of_seed: dict[int, Row], others: dict[int, Row]) -> Entry:
    seeds = sorted(of_seed)
    rows = [of_seed[seed] for seed in seeds]
    reference = grid.reference_of(name)
    shared = [seed for seed in seeds if seed in others] if reference != name else []
    origins = max((row.own.origins for row in rows), key=any)  # the oldest rows tell none
    means, differences = {}, {}
    for score in SHOWN:
        means[score] = crossed_mean(_matrix(rows, score), origins=origins)
        if shared:
            pair = ([side[seed] for seed in shared] for side in (of_seed, others))
            mine, theirs = (_matrix(side, score) for side in pair)
            differences[score] = crossed_mean(mine - theirs, origins=origins)
    times = [row.budget.seconds for row in rows if row.budget.seconds is not None]
    return Entry(
        variant=name,
        about=grid.variants[name].about,
        reference=reference,
        seeds=tuple(seeds),
        n_fit=rows[0].budget.n_images,
        n_images=len(origins),
        n_units=len(set(units_of(origins))),
        means=means,
        differences=differences,
        controls=_controls(rows, origins),
        parameters=rows[0].parameters,
        steps=rows[0].budget.steps,
        seconds=sum(times) / len(times) if times else None,
    )


def _matrix(rows: Sequence[Row], score: str, control: Control | None = None) -> Matrix:
    """Return (seeds, images) of a score, under the rows' own condition or another."""
    found = [row.found[control] if control else row.own for row in rows]
    return np.array([[image[score] for image in each.images] for each in found], np.float64)


def _controls(rows: Sequence[Row], origins: Sequence[str]) -> dict[Control, Interval]:
    others: tuple[Control, ...] = ("zeroed", "shuffled")
    return {
        control: crossed_mean(_matrix(rows, "aji", control) - _matrix(rows, "aji"), origins=origins)
        for control in others
        if all(control in row.found and control != row.control for row in rows)
    }


def cells(entry: Entry) -> list[str]:
    """Return the texts of a line of the table; see ``HEADINGS``."""
    means = [f"{entry.means[score].mean:.3f}" for score in SHOWN]
    without = "reference" if entry.variant == entry.reference else "-"
    gaps = [
        _signed(entry.differences[score]) if entry.differences else without
        for score in ("aji", "pq")
    ]
    controls = [
        _signed(entry.controls[control]) if control in entry.controls else "-"
        for control in ("zeroed", "shuffled")
    ]
    seconds = "-" if entry.seconds is None else f"{entry.seconds:.0f}"
    counts = [str(len(entry.seeds)), str(entry.n_fit)]
    return [entry.variant, *counts, *means, *gaps, *controls, f"{entry.parameters:,}", seconds]


HEADINGS = (
    "variant",
    "seeds",
    "fitted on",
    *SHOWN.values(),
    "AJI minus reference",
    "PQ minus reference",
    "tokens zeroed: AJI",
    "another image's tokens: AJI",
    "parameters",
    "s",
)

_PARTS = (
    ("variant", "seeds", "fitted on", *SHOWN.values(), "parameters", "s"),
    ("variant", "AJI minus reference", "PQ minus reference"),
    ("variant", "tokens zeroed: AJI", "another image's tokens: AJI"),
)


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def footnotes(found: Sequence[Entry]) -> list[str]:
    """Say how the numbers of a table were made."""
    n_images, n_units = found[0].n_images, found[0].n_units
    drawn = "" if n_units == n_images else f"; for images it draws {n_units} {ORIGINS}"
    lines = [
        f"Scores at the annotation's own resolution, n = {n_images} images; {RULE}{drawn}.",
        "Differences are paired by seed and image, over the seeds that both rows have; without "
        "one, -. "
        "Tokens zeroed, another image's tokens: the same trained networks, minus themselves with "
        "their own tokens.",
        "s: mean wall time of a training with its validation; comparable only between trainings "
        "on one quiet machine.",
    ]
    few = sorted({len(entry.seeds) for entry in found})
    if few[0] < 3:
        lines.insert(1, "Preliminary: fewer than three seeds say little of training's luck.")
    return lines


def as_tables(found: Sequence[Entry]) -> list[Table]:
    """Return the table for a terminal, in parts that fit 80 columns."""
    return [_part(found, headings) for headings in _PARTS]


def _part(found: Sequence[Entry], headings: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    places = [HEADINGS.index(heading) for heading in headings]
    for place, heading in zip(places, headings, strict=True):
        table.add_column(heading, justify="right" if place else "left", no_wrap=True)
    for entry in found:
        texts = cells(entry)
        table.add_row(*(texts[place] for place in places))
    return table


def as_markdown(found: Sequence[Entry]) -> str:
    """Return the table, what its rows are and how it was made, as Markdown."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    lines += [_line(cells(entry)) for entry in found]
    lines += ["", *(f"- `{entry.variant}`: {entry.about}" for entry in found)]
    return "\n".join([*lines, "", *footnotes(found), ""])


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"

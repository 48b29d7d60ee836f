"""The published table beside ours: each protocol in a table of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from nuguide.evaluation.intervals import Interval
from nuguide.evaluation.protocols import ProtocolName
from nuguide.evaluation.seeds import RULE, crossed_mean
from nuguide.files import make_folder, replacing
from nuguide.training.ablation.rows import Found, Row
from nuguide.training.ablation.table import check_alike
from nuguide.training.differences import flattened
from nuguide.training.reproduction.plan import Choice, plan_of, variant_of
from nuguide.training.reproduction.published import NETWORKS, Figures, PublishedSet

SHOWN: dict[ProtocolName, dict[str, str]] = {
    "released": {"dice_weighted": "ours:\nDice, weighted", "iou_weighted": "ours:\nIoU, weighted"},
    "standard": {"dice_foreground": "Dice, foreground", "aji": "AJI", "pq": "PQ"},
}
"""Scores and titles of the table of each protocol."""

_PUBLISHED = ("publ.\nDice", "publ.\nmIoU")
_ADVICE = "give another --report"


@dataclass(frozen=True)
class Line:
    """A network on a data set.

    Attributes
    ----------
    data : PublishedSet
        The data set.
    network : str
        Out of ``NETWORKS``.
    seeds : tuple of int
        Those that were trained; empty where nothing was.
    n_fit, n_images : int
        Images that were fitted on, and scored.
    scores : dict of ProtocolName to dict of str to Interval
        By protocol and score.
    departures : tuple of str
        Values of its recipes that are not the published ones.
    """

    data: PublishedSet
    network: str
    seeds: tuple[int, ...]
    n_fit: int
    n_images: int
    scores: dict[ProtocolName, dict[str, Interval]]
    departures: tuple[str, ...]

    @property
    def figures(self) -> Figures:
        """The published figures."""
        return self.data.figures[self.network]


def lines(choice: Choice, rows: Sequence[Row]) -> list[Line]:
    """Put the rows of the runs' file into the published table's order.

    Parameters
    ----------
    choice : Choice
        What is shown.
    rows : sequence of Row
        Of one split.

    Raises
    ------
    InputError
        If the rows of a data set were scored on different images.
    """
    found = []
    for data in choice.sets:
        cells = {
            network: [row for row in rows if row.variant == variant_of(data, network)]
            for network in choice.networks
        }
        check_alike([row for of_network in cells.values() for row in of_network])
        found += [_line(data, network, of_network) for network, of_network in cells.items()]
    return found


def _line(data: PublishedSet, network: str, rows: list[Row]) -> Line:
    rows = sorted(rows, key=lambda row: row.seed)
    by_protocol: dict[ProtocolName, list[Found]] = {
        "released": [row.protocols["released"] for row in rows if "released" in row.protocols],
        "standard": [row.own for row in rows],
    }
    return Line(
        data=data,
        network=network,
        seeds=tuple(row.seed for row in rows),
        n_fit=rows[0].budget.n_images if rows else 0,
        n_images=len(rows[0].own.images) if rows else 0,
        scores={
            protocol: {name: _interval(found, name) for name in SHOWN[protocol]}
            for protocol, found in by_protocol.items()
            if found
        },
        departures=tuple(
            dict.fromkeys(each for row in rows for each in _departures(data, network, row))
        ),
    )


def _interval(found: Sequence[Found], score: str) -> Interval:
    values = [[image[score] for image in each.images] for each in found]
    return crossed_mean(np.array(values, np.float64), origins=found[0].origins)


def _departures(data: PublishedSet, network: str, row: Row) -> list[str]:
    """Word how a row's recipe differs from the published one."""
    (published,) = plan_of(data, Choice((data,), (network,), (row.seed,)))
    there = flattened(published.recipe.model_dump(mode="json"))
    here = flattened(row.recipe)
    return [
        f"{key} {_worded(here.get(key))} for {_worded(there.get(key))}"
        for key in sorted(there | here)
        # A key that recipes gained since the row was written has its default there.
        if key in here and here[key] != there.get(key)
    ]


def _worded(value: Any) -> str:
    return "none" if value is None else str(value)


def headings(protocol: ProtocolName) -> list[str]:
    """Return the headings of a protocol's table: published figures stand beside theirs alone."""
    first = [*_PUBLISHED, "seeds"] if protocol == "released" else []
    return ["network", *first, "n", *SHOWN[protocol].values()]


def cells(line: Line, protocol: ProtocolName) -> list[str]:
    """Return the texts of a line of a protocol's table; see ``headings``."""
    texts = [NETWORKS[line.network]]
    if protocol == "released":
        figures = line.figures
        texts += [f"{figures.dice:.3f}", f"{figures.miou:.3f}", str(len(line.seeds) or "-")]
    if protocol not in line.scores:
        return texts + ["-"] * (1 + len(SHOWN[protocol]))
    return [*texts, str(line.n_images), *map(_told, line.scores[protocol].values())]


def _told(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def title(data: PublishedSet, protocol: ProtocolName) -> str:
    """Return what stands over a table."""
    what = {
        "released": "protocol released, the published definition (background counts)",
        "standard": "protocol standard, the same networks (nuclei alone count)",
    }
    return f"{data.title}: {what[protocol]}"


def as_tables(found: Sequence[Line]) -> list[Table]:
    """Return the tables for a terminal, each within 80 columns."""
    tables = []
    for data, of_set in _by_set(found):
        for protocol in SHOWN:
            table = Table(
                title=title(data, protocol),
                title_justify="left",
                box=None,
                pad_edge=False,
                padding=(0, 1, 0, 0),
            )
            for place, heading in enumerate(headings(protocol)):
                table.add_column(heading, justify="right" if place else "left", no_wrap=True)
            for line in of_set:
                table.add_row(*cells(line, protocol))
            tables.append(table)
    return tables


def _by_set(found: Sequence[Line]) -> list[tuple[PublishedSet, list[Line]]]:
    names = dict.fromkeys(line.data.name for line in found)
    grouped = [[line for line in found if line.data.name == name] for name in names]
    return [(of_set[0].data, of_set) for of_set in grouped]


def footnotes(found: Sequence[Line]) -> list[str]:
    """Say what the numbers are, what is not known of the published ones, and what departs."""
    notes = [
        "Published (publ.): Dice and IoU weighted by each class's share of the true pixels, "
        "background included, of images resized whole to 256 px; mean over images. Close to pixel "
        "accuracy, not a foreground score.",
        "Splits, seeds and spread of the published figures are not known, so theirs and ours "
        "stand side by side and no difference is read from them.",
        f"Ours: test images of the splits in docs/reproduce.md; {RULE}; images of one patient "
        "or slide are drawn together. n: images that were scored.",
        "Standard: at the annotation's own resolution; the same checkpoints.",
        *(_of_the_split(data, of_set) for data, of_set in _by_set(found)),
    ]
    trained = [line for line in found if line.seeds]
    if trained and min(len(line.seeds) for line in trained) < 3:
        notes.append("Preliminary: fewer than three seeds say little of training's luck.")
    notes += [
        f"Not the published training: {', '.join(departures)} "
        f"({', '.join(dict.fromkeys(variant_of(line.data, line.network) for line in of_these))})."
        for departures, of_these in _by_departures(trained)
    ]
    return notes


def _of_the_split(data: PublishedSet, of_set: Sequence[Line]) -> str:
    fitted = sorted({line.n_fit for line in of_set if line.seeds})
    ours = f"; here: fitted on {' or '.join(map(str, fitted))} images" if fitted else ""
    return f"{data.title}, published split: {data.split}{ours}."


def _by_departures(found: Sequence[Line]) -> list[tuple[tuple[str, ...], list[Line]]]:
    kinds = dict.fromkeys(line.departures for line in found if line.departures)
    return [(kind, [line for line in found if line.departures == kind]) for kind in kinds]


def as_markdown(found: Sequence[Line]) -> str:
    """Return the tables and their footnotes as Markdown."""
    parts = []
    for data, of_set in _by_set(found):
        for protocol in SHOWN:
            heads = [heading.replace("\n", " ") for heading in headings(protocol)]
            body = [heads, ["---"] * len(heads), *(cells(line, protocol) for line in of_set)]
            parts += [
                f"**{title(data, protocol)}**",
                "",
                *(f"| {' | '.join(r)} |" for r in body),
                "",
            ]
    return "\n".join([*parts, *(f"- {note}" for note in footnotes(found)), ""])


def write_report(found: Sequence[Line], folder: Path) -> Path:
    """Write ``reproduce.md`` into a folder.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    make_folder(folder, _ADVICE)
    path = folder / "reproduce.md"
    with replacing(path, _ADVICE) as aside:
        aside.write_text(as_markdown(found), encoding="utf-8")
    return path

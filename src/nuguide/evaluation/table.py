"""Scores for people and for programs: the printed table and the JSON file."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from nuguide.errors import OutputError
from nuguide.evaluation.evaluate import Scores
from nuguide.files import replacing


def as_json(scores: Scores) -> str:
    """Return the scores as JSON text.

    ``{"scores": {name: {"mean", "std", "low", "high", "n", "definition"}},
    "images": [{"name", <score>: value, ...}], "model", "data", "split"}``; ``low`` and ``high``
    are the bootstrap 95 % interval of the mean.
    """
    content = {
        "scores": {name: asdict(summary) for name, summary in scores.summaries.items()},
        "images": [{"name": image.name, **image.scores} for image in scores.images],
        "model": scores.model,
        "data": scores.data,
        "split": scores.split,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def check_target(path: Path) -> None:
    """Refuse a place for scores before the work is done, not after it.

    Raises
    ------
    OutputError
        If the folder is missing, or ``path`` is itself a folder.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise OutputError(
            f"scores cannot be written to {path}; expected a file in a folder that exists; "
            "make the folder or name another file"
        )


def write_json(scores: Scores, path: Path) -> None:
    """Write ``as_json`` to ``path``, whole or not at all.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    with replacing(path, "name another file with --json") as aside:
        aside.write_text(as_json(scores), encoding="utf-8")


def headline(scores: Scores) -> str:
    """Return one line: what was scored on what, over how many images."""
    n = len(scores.images)
    return f"{scores.model} on {scores.data}, split {scores.split}: means over {n} images"


def score_table(scores: Scores) -> Table:
    """Return the table of all scores, one row each: mean, 95 % interval, spread."""
    table = Table(box=None, pad_edge=False)
    table.add_column("score", no_wrap=True)
    for heading in ("mean", "95 % interval", "std"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in scores.summaries.items():
        table.add_row(name, f"{row.mean:.3f}", f"{row.low:.3f} to {row.high:.3f}", f"{row.std:.3f}")
    return table


def definition_lines(scores: Scores) -> list[str]:
    """Return one line a score: its name, definition and averaging rule."""
    width = max(len(name) for name in scores.summaries)
    return [f"{name:<{width}}  {row.definition}" for name, row in scores.summaries.items()]

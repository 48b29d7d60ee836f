"""Figures of scores: their spread over images, and the differences between models."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib.figure import Figure

from nuguide.evaluation.calibration import Reliability
from nuguide.evaluation.compare import Comparison
from nuguide.evaluation.protocols import UNMASKED
from nuguide.evaluation.record import Scores
from nuguide.evaluation.table import title_of
from nuguide.files import replacing

FIGURE_SUFFIXES = (".svg", ".png")

_DOTS, _MEAN, _ZERO = "#56b4e9", "#000000", "#777777"
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#000000")
_MARKS = ("o", "s", "D", "^", "v", "P")
_FOREST_SCORES = ("dice_foreground", "aji", "dq", "sq", "pq")
_ROW_INCHES = 0.36
_DPI = 150


def distribution(scores: Scores) -> Figure:
    """Draw every image's scores as dots, one row a score, with the mean and its 95 % interval."""
    names = [name for name in scores.images[0].scores if not name.endswith(UNMASKED)]
    figure = Figure(figsize=(7.5, 0.9 + _ROW_INCHES * len(names)), layout="constrained")
    axes = figure.subplots()
    spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(scores.images))
    for row, name in enumerate(names):
        values = np.array([image.scores[name] for image in scores.images])
        axes.scatter(
            values, row + spread, s=14, color=_DOTS, alpha=0.7, linewidths=0, label="an image"
        )
        summary = scores.summaries[name]
        axes.plot([summary.low, summary.high], [row, row], color=_MEAN, lw=2, label="95 % interval")
        axes.plot(summary.mean, row, "|", color=_MEAN, ms=13, mew=2, label="mean")
    axes.set_yticks(range(len(names)), [title_of(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("score")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[:3], labels[:3], ncols=3, frameon=False, loc="lower left", bbox_to_anchor=(0, 1)
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def reliability_figure(found: Sequence[Reliability]) -> Figure:
    """Draw the share that matches against what was said, by tenths of the nuclei."""
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_ZERO, lw=1)
    for each, colour, mark in zip(found, _SERIES, _MARKS, strict=False):
        said, share = [b.said for b in each.bins], [b.found for b in each.bins]
        label = f"{each.name}, error {each.error.mean:.3f}"
        axes.plot(said, share, mark, ls="-", color=colour, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("said: mean over a tenth of the nuclei")
    axes.set_ylabel("found: share that a true nucleus matches (IoU > 0.5)")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def forest(comparison: Comparison) -> Figure:
    """Draw each model's difference to the first with its 95 % interval, one group a score.

    A score that not all models have is left out.
    """
    first, *others = comparison.differences
    shared = [name for name in first if all(name in each for each in others)]
    names = [name for name in _FOREST_SCORES if name in shared] or shared
    n_models = len(comparison.differences)
    figure = Figure(
        figsize=(7.5, 1.5 + _ROW_INCHES * len(names) * (n_models + 0.5)), layout="constrained"
    )
    axes = figure.subplots()
    axes.axvline(0, color=_ZERO, lw=1)
    for place, differences in enumerate(comparison.differences):
        rows = np.arange(len(names)) + (place + 0.5) / n_models * 0.7 - 0.35
        found = [differences[name].interval for name in names]
        means = np.array([each.mean for each in found])
        ends = np.array([(each.low, each.high) for each in found])
        axes.hlines(rows, ends[:, 0], ends[:, 1], color=_SERIES[place % len(_SERIES)], lw=2)
        axes.plot(
            means,
            rows,
            _MARKS[place % len(_MARKS)],
            color=_SERIES[place % len(_SERIES)],
            label=_plain(comparison.names[place + 1]),
        )
    axes.set_yticks(range(len(names)), [title_of(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(
        f"difference to {_plain(comparison.names[0])}, paired by image, with 95 % interval; "
        f"n = {len(comparison.reference.images)}"
    )
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, n_models))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG."""
    stream = io.BytesIO()
    _save(figure, stream, "png")
    return stream.getvalue()


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the ending of ``path``.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    with replacing(path, "name another file with --figure") as aside, aside.open("wb") as file:
        _save(figure, file, path.suffix.lower().removeprefix("."))


def _save(figure: Figure, stream: IO[bytes], form: str) -> None:
    with warnings.catch_warnings():
        # A name in a script that the font lacks comes out as boxes; it is no reason to complain.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format=form, dpi=_DPI)


def _plain(name: str) -> str:
    """Return a name out of a file so that matplotlib reads no formula in it, and not too long."""
    return name.replace("$", r"\$").removeprefix("_")[:60]

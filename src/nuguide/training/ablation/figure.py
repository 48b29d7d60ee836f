"""Figures of an ablation: differences to the reference, and what they cost."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from nuguide.files import make_folder, replacing
from nuguide.training.ablation.table import Entry, as_markdown

_INK, _PALE, _ZERO = "#0072b2", "#d55e00", "#777777"
_ROW_INCHES = 0.42
_ADVICE = "give another --report"


def write_report(found: Sequence[Entry], folder: Path, stem: str = "ablation") -> list[Path]:
    """Write ``<stem>.md``, ``<stem>.svg`` and ``<stem>-cost.svg`` into a folder.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    make_folder(folder, _ADVICE)
    texts = {f"{stem}.md": as_markdown(found)}
    if any(entry.differences for entry in found):
        texts |= {f"{stem}.svg": _svg(forest(found)), f"{stem}-cost.svg": _svg(cost(found))}
    for name, text in texts.items():
        with replacing(folder / name, _ADVICE) as aside:
            aside.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def forest(found: Sequence[Entry]) -> Figure:
    """Draw each variant's difference in AJI to its reference with its 95 % interval.

    Pale: the same networks with tokens that know nothing of their image, minus themselves.
    """
    shown = [entry for entry in found if entry.differences]
    figure = Figure(figsize=(7.5, 1.4 + _ROW_INCHES * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=_ZERO, lw=1)
    for row, entry in enumerate(shown):
        gap = entry.differences["aji"]
        axes.plot([gap.low, gap.high], [row, row], color=_INK, lw=2)
        axes.plot(gap.mean, row, "o", color=_INK, label="minus the reference")
        for (control, change), mark in zip(entry.controls.items(), "sD", strict=False):
            below = row + 0.25
            axes.plot([change.low, change.high], [below, below], color=_PALE, lw=1)
            label = f"tokens {control}, minus with its own"
            axes.plot(change.mean, below, mark, color=_PALE, mfc="white", label=label)
    names = [f"{entry.variant} - {entry.reference}" for entry in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    counts = sorted({len(entry.seeds) for entry in shown})
    seeds = "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    axes.set_xlabel(f"difference in AJI ({seeds} seeds, {shown[0].n_images} images)")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    # Of the figure, not of the axes, beside whose names there is too little room for it.
    figure.legend(once.values(), once, ncols=2, frameon=False, loc="outside upper left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def cost(found: Sequence[Entry]) -> Figure:
    """Draw the difference in AJI against the parameters that it takes."""
    shown = [entry for entry in found if entry.differences]
    figure = Figure(figsize=(7.5, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color=_ZERO, lw=1)
    for entry in shown:
        gap, millions = entry.differences["aji"], entry.parameters / 1e6
        axes.plot([millions, millions], [gap.low, gap.high], color=_INK, lw=1.5)
        axes.plot(millions, gap.mean, "o", color=_INK)
        axes.annotate(
            entry.variant, (millions, gap.mean), xytext=(6, 4), textcoords="offset points"
        )
    axes.set_xlabel("parameters, millions")
    axes.set_ylabel("difference in AJI to the reference")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _svg(figure: Figure) -> str:
    """Return a figure as SVG that is the same for the same numbers."""
    content = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "nuguide", "svg.fonttype": "none"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()

"""How a training went: its losses and scores by step, and which of its epochs was best."""

import csv
import math
import time
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nuguide.evaluation.figures import write_figure
from nuguide.evaluation.table import title_of
from nuguide.training.log import METRICS

CURVE_FILE = "curve.png"
"""In a run's folder: the history, drawn."""

_VALIDATED = "validation_"
_DRAWN_EVERY_S = 60
_SCORE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_LOSS, _MEAN, _BEST = "#bbbbbb", "#000000", "#777777"


@dataclass(frozen=True)
class Course:
    """One value as a training went.

    Attributes
    ----------
    steps : ndarray
        (n,) int64, rising: steps done when it was taken.
    values : ndarray
        (n,) float64.
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """What the log of a run tells.

    Attributes
    ----------
    loss, mean_loss : Course
        Of single steps, some of them, and the means over epochs.
    scores : dict of str to Course
        Of the images of validation, after each epoch, by the score's name; the one that the best
        epoch is chosen by comes first.
    """

    loss: Course
    mean_loss: Course
    scores: dict[str, Course]

    @property
    def best_steps(self) -> int:
        """Steps after which the first score was highest, the first time; it may be no number."""
        first = next(iter(self.scores.values()))
        known = np.where(np.isnan(first.values), -math.inf, first.values)
        return int(first.steps[np.argmax(known)])


def history_of(run: Path, monitored: str) -> History | None:
    """Read the log of a run.

    Parameters
    ----------
    run : Path
        The run's folder.
    monitored : str
        What its best epoch is chosen by, as the log has it, such as "validation_aji".

    Returns
    -------
    History or None
        None where no epoch was validated: a run that was trained on another machine has no log.
    """
    path = run / METRICS
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({k for row in rows for k, v in row.items() if v and k.startswith(_VALIDATED)})
    if monitored not in names:
        return None
    ordered = [monitored, *(name for name in names if name != monitored)]
    scores = {name.removeprefix(_VALIDATED): _course(rows, name) for name in ordered}
    return History(_course(rows, "loss_step"), _course(rows, "loss_epoch"), scores)


def _course(rows: list[dict[str, str]], name: str) -> Course:
    # The log counts steps from 0.
    told = [(int(row["step"]) + 1, float(row[name])) for row in rows if row.get(name)]
    steps, values = zip(*told, strict=True) if told else ((), ())
    return Course(np.array(steps, np.int64), np.array(values, np.float64))


def curve(history: History) -> Figure:
    """Draw the loss above, the scores of validation below, and the best epoch in both."""
    figure = Figure(figsize=(7.5, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(history.loss.steps, history.loss.values, color=_LOSS, lw=1, label="a step")
    mean = history.mean_loss
    above.plot(mean.steps, mean.values, "o-", color=_MEAN, ms=3, label="mean over an epoch")
    above.set_ylabel("loss")
    for (name, course), colour in zip(history.scores.items(), _SCORE_COLOURS, strict=False):
        below.plot(course.steps, course.values, "o-", color=colour, ms=3, label=title_of(name))
    below.set_ylabel("mean over the images of validation")
    below.set_xlabel("steps")
    for axes, label in ((above, f"best epoch, after {history.best_steps:,} steps"), (below, None)):
        axes.axvline(history.best_steps, color=_BEST, lw=1, ls="--", label=label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def best_line(history: History) -> str:
    """Say in a line how good the best epoch was, and when: scores as the training takes them."""
    found = [
        f"{title_of(name)} {value:.3f}"
        for name, course in history.scores.items()
        for value in course.values[course.steps == history.best_steps]
    ]
    last = next(iter(history.scores.values())).steps[-1]
    return f"{'; '.join(found)} (validation, after {history.best_steps:,} of {last:,} steps)"


class DrawCurve(Callback):  # type: ignore[misc]  # Lightning has no types here
    """Draws a training's history into its folder as it goes, now and then, and at its end.

    Parameters
    ----------
    run : Path
        The run's folder.
    monitored : str
        See ``history_of``.
    """

    def __init__(self, run: Path, monitored: str) -> None:
        self._run, self._monitored = run, monitored
        self._drawn = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Draw, unless it was drawn just now."""
        if time.monotonic() - self._drawn > _DRAWN_EVERY_S:
            self._draw(trainer)

    def on_fit_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Draw the whole of it."""
        self._draw(trainer)

    def _draw(self, trainer: L.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        trainer.logger.save()
        if (history := history_of(self._run, self._monitored)) is not None:
            write_figure(curve(history), self._run / CURVE_FILE)
        self._drawn = time.monotonic()

"""The bar that a person watches while regions are computed."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from nuguide.segmentation.batch import State


T = TypeVar("T")


class SpeedColumn(ProgressColumn):
    """Regions a second; nothing before two are done."""

    def render(self, task: Task) -> Text:
        """Word the speed of an image."""
        return Text("" if task.speed is None else f"{task.speed:.2f} regions/s")


@contextmanager
def shown_progress() -> "Iterator[Callable[[State], None]]":
    """Show a bar for each image under way where somebody looks, and say why one is done again."""
    bars: dict[Path, TaskID] = {}
    with _progress(
        *("{task.description}", BarColumn(), MofNCompleteColumn(), "regions"),
        *("{task.fields[nuclei]:,} nuclei", SpeedColumn(), TimeRemainingColumn()),
    ) as progress:

        def show(state: "State") -> None:
            if state.image not in bars:
                if state.why_again:
                    typer.echo(f"{state.image.name}: segmented again: {state.why_again}", err=True)
                # As it is: rich would take "case[b].svs" for a text in bold.
                name = escape(state.image.name)
                bars[state.image] = progress.add_task(
                    name, total=state.regions, completed=state.done, nuclei=0
                )
            progress.update(bars[state.image], completed=state.done, nuclei=state.nuclei)
            if state.done == state.regions:
                progress.remove_task(bars.pop(state.image))

        yield show


def watched(things: Sequence[T], what: str) -> Iterator[T]:
    """Hand out things one by one, with a bar where somebody looks."""
    with _progress() as progress:
        yield from progress.track(things, description=what)


def _progress(*columns: str | ProgressColumn) -> Progress:
    """Make bars of these columns, or the usual ones, that are drawn where somebody looks alone."""
    console = Console(stderr=True)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # What is printed for a pipe must not go where the bar is.
        redirect_stdout=sys.stdout.isatty(),
    )

"""A run's folder belongs to one recipe and its images."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from nuguide.errors import OutputError
from nuguide.files import held, make_folder, replacing
from nuguide.training.differences import differences
from nuguide.training.finish import recipe_of
from nuguide.training.recipe import Recipe
from nuguide.training.recipe_file import RECIPE_FILE
from nuguide.training.seen import Seen, keep_seen, seen_by

LOCK_FILE = ".lock"
"""In a run's folder: held by the process that trains, given back however that dies."""

_PATIENCE_S = 10.0
"""Loaders of crops hold the lock of a process that was killed until they notice, in seconds."""

_ADVICE = "give another --out"


def refuse_another_run(out: Path, recipe: Recipe) -> None:
    """Refuse a folder that holds the run of another recipe.

    Raises
    ------
    OutputError
        Naming the first values that differ.
    """
    if not (out / RECIPE_FILE).is_file():
        return
    there, here = (each.model_dump(mode="json") for each in (recipe_of(out), recipe))
    if differing := differences(there, here):
        raise OutputError(
            f"{out} holds the run of another recipe ({differing}); expected the same recipe or a "
            "new folder; give another --out"
        )


def refuse_other_data(out: Path, seen: Seen) -> None:
    """Refuse a folder whose run has seen other images.

    Raises
    ------
    OutputError
        Naming the folders of both.
    RecipeError
        If what it has seen cannot be read.
    """
    there = seen_by(out)
    if there is not None and there.sha256 != seen.sha256:
        raise OutputError(
            f"{out} holds a run on other images ({there.folders}, digest {there.sha256[:12]}, now "
            f"{seen.folders}, {seen.sha256[:12]}); expected the same to fit on and of validation; "
            "give the data that it began with, or another --out"
        )


def claim(out: Path, recipe: Recipe, seen: Seen | None) -> None:
    """Write the recipe and what is seen, where that is known, into the run's folder.

    Raises
    ------
    OutputError
        If the folder, made if absent, cannot be written.
    """
    make_folder(out, _ADVICE)
    with replacing(out / RECIPE_FILE, _ADVICE) as aside:
        aside.write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    if seen is not None:
        keep_seen(out, seen)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a run's folder, made if absent, against other processes.

    Raises
    ------
    OutputError
        If another process holds it, or the folder cannot be written.
    """
    make_folder(out, _ADVICE)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(out / LOCK_FILE, _ADVICE, _PATIENCE_S))
        except Timeout:
            raise OutputError(
                f"another process is training in {out}; expected one at a time; wait for it to "
                "end, or give another --out"
            ) from None
        yield

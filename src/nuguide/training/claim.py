"""A run's folder belongs to one recipe and its images."""

from pathlib import Path
from typing import Any

from nuguide.errors import OutputError
from nuguide.files import make_folder, replacing
from nuguide.training.finish import recipe_of
from nuguide.training.recipe import Recipe
from nuguide.training.recipe_file import RECIPE_FILE
from nuguide.training.seen import Seen, keep_seen, seen_by


def refuse_another_run(out: Path, recipe: Recipe) -> None:
    """Refuse a folder that holds the run of another recipe.

    Raises
    ------
    OutputError
        Naming the first values that differ.
    """
    if not (out / RECIPE_FILE).is_file():
        return
    there, here = (flattened(each.model_dump(mode="json")) for each in (recipe_of(out), recipe))
    differing = sorted(key for key in there | here if there.get(key) != here.get(key))
    if differing:
        shown = "; ".join(
            f"{key} {there.get(key)!r}, now {here.get(key)!r}" for key in differing[:3]
        )
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise OutputError(
            f"{out} holds the run of another recipe ({shown}{more}); expected the same recipe or a "
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
    advice = "give another --out"
    make_folder(out, advice)
    with replacing(out / RECIPE_FILE, advice) as aside:
        aside.write_text(recipe.model_dump_json(indent=1), encoding="utf-8")
    if seen is not None:
        keep_seen(out, seen)


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

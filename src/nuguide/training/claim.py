"""A run's folder belongs to one recipe."""

from pathlib import Path
from typing import Any

from nuguide.errors import OutputError
from nuguide.files import make_folder, replacing
from nuguide.training.finish import recipe_of
from nuguide.training.recipe import Recipe
from nuguide.training.recipe_file import RECIPE_FILE


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


def claim(out: Path, recipe: Recipe) -> None:
    """Write the recipe into the run's folder, made if absent.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    advice = "give another --out"
    make_folder(out, advice)
    with replacing(out / RECIPE_FILE, advice) as aside:
        aside.write_text(recipe.model_dump_json(indent=1), encoding="utf-8")


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat

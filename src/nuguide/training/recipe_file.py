"""Recipes read: from TOML or a run's folder, with some values changed, and checked."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from nuguide.documents import DocumentError, parse_toml, read_toml
from nuguide.errors import RecipeError
from nuguide.faults import first_fault
from nuguide.training.recipe import DistillationRecipe, Recipe, SegmentationRecipe

_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="kind")])
_KINDS: dict[str, type[BaseModel]] = {
    "segmentation": SegmentationRecipe,
    "distillation": DistillationRecipe,
}

RECIPE_FILE = "recipe.json"
"""The recipe as a run's folder keeps it."""

RECIPES = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with the package."""

_OTHER_LENGTH = {"epochs": ("steps", "epoch_steps"), "steps": ("epochs",)}


def read_recipe(name_or_path: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by name (of those in ``RECIPES``) or path, with some values changed.

    Parameters
    ----------
    name_or_path : str or Path
        ``default``, or a TOML file.
    changes : dict, optional
        Dotted key to value, such as ``{"network.options.width": 16}``. ``epochs`` stand in place of
        the file's ``steps`` and ``epoch_steps``, and ``steps`` in place of its ``epochs``.

    Raises
    ------
    RecipeError
        If there is no such file, it is no TOML, or a value is unknown or refused.
    """
    path = Path(name_or_path)
    packaged = RECIPES / f"{name_or_path}.toml"
    source = path if path.is_file() else packaged
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(
            f"no recipe {str(name_or_path)!r}; expected a TOML file or one of {known}; "
            "check the name"
        )
    try:
        values = read_toml(source)
    except DocumentError as error:
        raise RecipeError(
            f"{source} cannot be read as TOML ({error}); expected a recipe; begin with one out of "
            f"{RECIPES}"
        ) from error
    for key, value in (changes or {}).items():
        # A key cannot be unset, so the one length makes way for the other.
        for other in _OTHER_LENGTH.get(key, ()):
            if other not in (changes or {}):
                values.pop(other, None)
        _assign(values, key.split("."), value)
    return checked_recipe(values, str(source), changes or {})


def parsed_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read what ``--set KEY=VALUE`` says: values as TOML, a bare word as a text.

    Raises
    ------
    RecipeError
        If one is not of that form.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise RecipeError(
                f"--set says {text!r}; expected KEY=VALUE; write it such as --set steps=500"
            )
        try:
            values[key] = parse_toml(f"value = {value}")["value"]
        except DocumentError:
            values[key] = value
    return values


def checked_recipe(values: dict[str, Any], source: str, changed: Collection[str] = ()) -> Recipe:
    """Turn plain values into a recipe.

    Parameters
    ----------
    values : dict
        As TOML or JSON give them.
    source : str
        Where they came from, for the error message.
    changed : collection of str
        Dotted keys whose values are not of ``source`` but of ``--set``.

    Raises
    ------
    RecipeError
        Naming the first value that is missing, unknown or refused.
    """
    try:
        # JSON is the form in which pydantic's strict mode takes an array for a tuple.
        return _ADAPTER.validate_json(json.dumps(values))
    except ValidationError as error:
        if error.errors()[0]["type"] == "union_tag_not_found":
            raise RecipeError(
                f"{source}: kind is missing; expected segmentation or distillation; add it, such "
                'as kind = "segmentation"'
            ) from error
        where = _told_by(error, source, changed)
        # The first part of the place is the recipe's kind, which is no key of the file.
        fault = first_fault(error, "recipes", 1, _KINDS.get(str(values.get("kind"))))
        raise RecipeError(f"{where}: {fault}; correct it") from error
    except RecursionError as error:
        raise RecipeError(
            f"{source}, changed by --set, holds tables that lie too deep in each other; expected "
            "the keys of a recipe, such as network.options.width; correct --set"
        ) from error
    except TypeError as error:
        raise RecipeError(
            f"{source} holds a date or time ({error}); expected texts, numbers, arrays and "
            "tables; put it in quotes"
        ) from error


def _told_by(error: ValidationError, source: str, changed: Collection[str]) -> str:
    """Name who said the first value at fault: ``--set``, or ``source``."""
    place = [str(part) for part in error.errors()[0]["loc"][1:]]
    for key in changed:
        keys = key.split(".")
        # A table at fault may be so by one value in it, and a value by one of its items.
        shared = min(len(keys), len(place))
        if place and keys[:shared] == place[:shared]:
            return f"--set {key}"
    return f"{source}, changed by --set" if changed and not place else source


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise RecipeError(
                f"--set {'.'.join(keys)}: {key} holds a value; expected a table; see the recipe"
            )
    values[keys[-1]] = value

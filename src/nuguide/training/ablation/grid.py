"""Grids: the variants of a recipe that an ablation compares, as one typed value read from TOML."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nuguide.documents import DocumentError, read_toml
from nuguide.errors import RecipeError, nearest_names
from nuguide.faults import first_fault
from nuguide.models.card import Name, Text
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import read_recipe

GRIDS = Path(__file__).parents[1] / "grids"
"""Folder of the grids that come with the package."""

Changes = dict[str, Any]
"""Dotted keys of a recipe and their values, as ``nuguide train --set`` takes them."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Variant(_Part):
    """One row of an ablation.

    Attributes
    ----------
    about : str
        What it is, in a few words, for the table.
    set : dict
        How its recipe differs from the others'.
    reference : str, optional
        The variant it is compared with; None: the grid's.
    """

    about: Text
    set: Changes = {}
    reference: str | None = None


class Grid(_Part):
    """Variants by seeds.

    Attributes
    ----------
    reference : str
        The variant that the others are compared with.
    seeds : tuple of int
        Every variant is trained once with each.
    set : dict
        What the recipes of all variants change alike: budget, width.
    variants : dict of str to Variant
        By name, in the order of the table.
    """

    reference: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    set: Changes = {}
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]

    @field_validator("seeds")
    @classmethod
    def _once_each(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    @model_validator(mode="after")
    def _references_are_there(self) -> Self:
        for name in [self.reference, *(each.reference for each in self.variants.values())]:
            if name is not None and name not in self.variants:
                raise ValueError(f"reference is {name!r}; {nearest_names(name, self.variants)}")
        return self

    def reference_of(self, variant: str) -> str:
        """Return the variant that ``variant`` is compared with."""
        return self.variants[variant].reference or self.reference


@dataclass(frozen=True)
class Planned:
    """One training of an ablation.

    Attributes
    ----------
    variant : str
        Its name in the grid.
    recipe : SegmentationRecipe
        With the run's own name and seed.
    """

    variant: str
    recipe: SegmentationRecipe


def read_grid(name_or_path: str | Path) -> Grid:
    """Read a grid by name (of those in ``GRIDS``) or path.

    Raises
    ------
    RecipeError
        If there is no such file, it is no TOML, or a value is missing, unknown or refused.
    """
    path, packaged = Path(name_or_path), GRIDS / f"{name_or_path}.toml"
    source = path if path.is_file() else packaged
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.toml")))
        raise RecipeError(
            f"no grid {str(name_or_path)!r}; expected a TOML file or one of {known}; check the name"
        )
    try:
        # JSON is the form in which pydantic's strict mode takes an array for a tuple.
        return Grid.model_validate_json(json.dumps(read_toml(source)))
    except (DocumentError, TypeError) as error:
        raise RecipeError(
            f"{source} cannot be read as TOML ({error}); expected a grid; begin with one out of "
            f"{GRIDS}"
        ) from error
    except ValidationError as error:
        raise RecipeError(f"{source}: {first_fault(error, 'grids')}; correct it") from error


def planned(
    grid: Grid,
    recipe: str | Path,
    changes: Changes | None = None,
    *,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Planned]:
    """List the trainings of a grid, seed by seed, so that the first rows soon can be compared.

    Parameters
    ----------
    grid : Grid
        Variants and seeds.
    recipe : str or Path
        What the variants change; see ``read_recipe``.
    changes : dict, optional
        What is changed in all of them alike, after the grid.
    only, seeds : sequence
        These variants and seeds alone; empty: all.

    Raises
    ------
    RecipeError
        If a variant or seed is unknown, or a recipe is refused, or is that of a distillation.
    """
    _refuse_unknown(grid, only, seeds)
    trainings = []
    for seed in [each for each in grid.seeds if each in seeds] or grid.seeds:
        for name in [each for each in grid.variants if each in only] or grid.variants:
            variant = grid.variants[name]
            own = {"name": f"{name}-s{seed}", "seed": seed}
            made = read_recipe(recipe, {**grid.set, **variant.set, **(changes or {}), **own})
            if not isinstance(made, SegmentationRecipe):
                raise RecipeError(
                    f"{recipe} is the recipe of a distillation; expected that of a segmentation; "
                    "name another"
                )
            trainings.append(Planned(name, made))
    return trainings


def _refuse_unknown(grid: Grid, only: Sequence[str], seeds: Sequence[int]) -> None:
    for name in only:
        if name not in grid.variants:
            raise RecipeError(
                f"--only names {name!r}; {nearest_names(name, grid.variants)}; correct it"
            )
    for seed in seeds:
        if seed not in grid.seeds:
            raise RecipeError(
                f"--seed names {seed}; expected of {', '.join(map(str, grid.seeds))}; name one of "
                "these, or make a grid with more"
            )

"""Which trainings make the published table, and where the data for them lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nuguide.errors import DataSetError, RecipeError, nearest_names
from nuguide.training.ablation.grid import Changes, Planned, planned, read_grid
from nuguide.training.reproduction.published import GRID, NETWORKS, RECIPE, SETS, PublishedSet


@dataclass(frozen=True)
class Choice:
    """A part of the published table.

    Attributes
    ----------
    sets : tuple of PublishedSet
        Its data sets.
    networks : tuple of str
        Its networks, out of ``NETWORKS``.
    seeds : tuple of int
        Every network is trained once with each.
    """

    sets: tuple[PublishedSet, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]


def choose(only: Sequence[str] = (), seeds: Sequence[int] = ()) -> Choice:
    """Choose data sets and networks by their names, and seeds; all where none is named.

    Raises
    ------
    RecipeError
        If a name or seed is unknown.
    """
    known = [each.name for each in SETS] + list(NETWORKS)
    for name in only:
        if name not in known:
            raise RecipeError(f"--only names {name!r}; {nearest_names(name, known)}; correct it")
    of_grid = read_grid(GRID).seeds
    for seed in seeds:
        if seed not in of_grid:
            shown = ", ".join(map(str, of_grid))
            raise RecipeError(f"--seed names {seed}; expected of {shown}; name one of these")
    return Choice(
        tuple(each for each in SETS if each.name in only) or SETS,
        tuple(name for name in NETWORKS if name in only) or tuple(NETWORKS),
        tuple(seed for seed in of_grid if seed in seeds) or of_grid,
    )


def variant_of(data: PublishedSet, network: str) -> str:
    """Return the name under which the runs' file has a cell of the table."""
    return f"{data.name}-{network}"


def plan_of(
    data: PublishedSet, choice: Choice, changes: Changes | None = None
) -> Iterator[Planned]:
    """List the trainings on one data set, seed by seed.

    Parameters
    ----------
    data : PublishedSet
        The data set.
    choice : Choice
        Networks and seeds.
    changes : dict, optional
        What departs from the published recipe, see ``nuguide.training.recipe_file.read_recipe``.

    Raises
    ------
    RecipeError
        If a recipe is refused.
    """
    for each in planned(read_grid(GRID), RECIPE, {**data.changes, **(changes or {})}):
        if each.variant in choice.networks and each.recipe.seed in choice.seeds:
            name = f"{data.name}-{each.recipe.name}"
            recipe = each.recipe.model_copy(update={"name": name})
            yield replace(each, variant=variant_of(data, each.variant), recipe=recipe)


def find_sets(root: Path) -> dict[str, Path]:
    """Find the folder of each data set in ``root``: ``root`` itself, or a folder right in it.

    Returns
    -------
    dict of str to Path
        By the data set's name; those that are not there are left out.

    Raises
    ------
    DataSetError
        If ``root`` is no folder, or holds a data set twice.
    """
    if not root.is_dir():
        raise DataSetError(
            f"{root} is no folder; expected one that holds a folder for each data set; "
            "check the path"
        )
    inside = sorted(path for path in root.iterdir() if path.is_dir())
    found = {}
    for each in SETS:
        # An organ of NuInsSeg looks like NuInsSeg: what the whole is, its parts are not asked.
        places = [root] if each.recognise(root) else [p for p in inside if each.recognise(p)]
        if len(places) > 1:
            shown = " and ".join(place.name for place in places)
            raise DataSetError(
                f"{root} holds {each.title} in {shown}; expected it once; move one away"
            )
        if places:
            found[each.name] = places[0]
    return found


def how_to_get(data: PublishedSet) -> str:
    """Say where a data set is handed out, and how its folder must look."""
    sources = " or ".join(data.sources)
    return f"{data.title}: get it from {sources}; expected layout: {data.looks_like}"

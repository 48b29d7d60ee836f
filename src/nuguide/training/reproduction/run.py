"""The published table as one run: what is there is trained and scored, what is not is named."""

from collections.abc import Sequence
from pathlib import Path

from nuguide.datasets.base import Split
from nuguide.datasets.opening import open_dataset
from nuguide.errors import DataSetError, GuideError
from nuguide.guides.registry import load_guide
from nuguide.training.ablation.grid import Changes, Planned
from nuguide.training.ablation.run import Say, ablate
from nuguide.training.reproduction.plan import Choice, find_sets, how_to_get, plan_of
from nuguide.training.reproduction.published import PublishedSet

SPLIT: Split = "test"
"""What is scored, once: checkpoints are chosen on validation."""


def reproduce(
    root: Path,
    choice: Choice,
    file: Path,
    out: Path,
    *,
    changes: Changes | None = None,
    say: Say = lambda line: None,
    progress: bool = False,
) -> list[str]:
    """Train and score what is chosen, has its data, and is not yet written down.

    Parameters
    ----------
    root : Path
        Holds a folder for each data set, or is one.
    choice : Choice
        What to do.
    file, out : Path
        The runs' file and the folder of their folders; see ``nuguide.training.ablation.run``.
    changes : dict, optional
        What departs from the published recipe.
    say, progress
        As for ``ablate``.

    Returns
    -------
    list of str
        A line for each thing that was missing, and what to do about it.

    Raises
    ------
    DataSetError
        If none of the data sets is there, or one is damaged.
    GuideError
        If all that is chosen needs a guide whose weights are missing.
    NuguideError
        Whatever else stops a training; what was finished before it stands in ``file``.
    """
    folders = find_sets(root)
    there = [each for each in choice.sets if each.name in folders]
    if not there:
        titles = ", ".join(each.title for each in choice.sets)
        raise DataSetError(
            f"{root} holds no folder of {titles}; expected one at least; "
            + "; ".join(how_to_get(each) for each in choice.sets)
        )
    plans = {each.name: list(plan_of(each, choice, changes)) for each in there}
    no_guide = _without_weights([each for plan in plans.values() for each in plan])
    for each in there:
        say(_described(each, folders[each.name], plans[each.name]))
    for each in there:
        plan = [run for run in plans[each.name] if run.recipe.guide.name not in no_guide]
        ablate(
            plan,
            folders[each.name],
            file,
            out,
            split=SPLIT,
            protocols=["released"],
            say=say,
            progress=progress,
        )
    return missing_sets(folders, choice.sets) + [
        f"left out, for want of its guide: {', '.join(names)}; {fault}"
        for names, fault in no_guide.values()
    ]


def missing_sets(folders: dict[str, Path], chosen: Sequence[PublishedSet]) -> list[str]:
    """Word a line for each data set that is not there."""
    return [f"missing {how_to_get(each)}" for each in chosen if each.name not in folders]


def _without_weights(runs: Sequence[Planned]) -> dict[str, tuple[list[str], GuideError]]:
    """Return the guides that cannot be loaded, with the variants that need them and why.

    Raises
    ------
    GuideError
        If that leaves no run.
    """
    lacking: dict[str, tuple[list[str], GuideError]] = {}
    guides = dict.fromkeys((each.recipe.guide.name, each.recipe.guide.field_um) for each in runs)
    for name, field_um in guides:
        try:
            load_guide(name or None, field_um=field_um)
        except GuideError as error:
            needing = dict.fromkeys(each.variant for each in runs if each.recipe.guide.name == name)
            lacking[name] = list(needing), error
            if all(each.recipe.guide.name in lacking for each in runs):
                raise
    return lacking


def _described(data: PublishedSet, folder: Path, plan: Sequence[Planned]) -> str:
    """Open all parts of a data set, so that a damaged one stops before anything is trained."""
    counts = [len(open_dataset(folder, part)) for part in ("fit", "validation", "test")]
    recipe = plan[0].recipe
    length = (
        f"{recipe.steps} steps"
        if recipe.epochs is None
        else f"{recipe.epochs} epochs of {recipe.views} views of each"
    )
    return (
        f"{data.title}: {folder}, {' + '.join(map(str, counts))} images to fit, choose and test "
        f"on; {length}, batches of {recipe.batch}, learning rate {recipe.learning_rate:g}"
    )

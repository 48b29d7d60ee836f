"""What a finished model's card states of its data and licence."""

from pathlib import Path

from nuguide.models.card import TrainingData
from nuguide.models.licence import NOT_STATED
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.seen import SeenSet, seen_by


def licence_and_data(run: Path, recipe: SegmentationRecipe) -> tuple[str, tuple[TrainingData, ...]]:
    """Return the licence of a run's weights, and the data that they have seen.

    Both are the recipe's words where its ``training_data`` name exactly the data sets that the run
    has seen (or that is not known); else the data are told from what was opened, and of the licence
    nobody has said anything.
    """
    sets = _sets(run, recipe)
    if not sets or _speaks_of(recipe, sets):
        return recipe.licence, recipe.training_data
    return NOT_STATED, tuple(
        TrainingData(
            name=each.name,
            licence=each.licence or NOT_STATED,
            split=recipe.split,
            n_images=each.n_images,
            citation=NOT_STATED,
        )
        for each in sets
    )


def left_unstated(run: Path, recipe: SegmentationRecipe) -> str | None:
    """Say in a line what a card tells in place of the recipe's words; None if it has them."""
    sets = _sets(run, recipe)
    if not sets or _speaks_of(recipe, sets):
        return None
    names = ", ".join(each.name for each in recipe.training_data) or "no data"
    told = ", ".join(f"{each.name} ({each.licence or NOT_STATED})" for each in sets)
    return (
        f"trained on {told}, licence {NOT_STATED}, for the recipe speaks of {names}; to state it, "
        "name these data in training_data and give licence in a recipe of yours"
    )


def _speaks_of(recipe: SegmentationRecipe, sets: list[SeenSet]) -> bool:
    return {each.name for each in recipe.training_data} == {each.name for each in sets}


def _sets(run: Path, recipe: SegmentationRecipe) -> list[SeenSet]:
    """List the data sets of a run, and those of the student that guides it; none if not known."""
    own = seen_by(run)
    if own is None:
        return []
    # What a model to begin with has seen, and its student, its own card tells.
    distilled = recipe.guide.kind == "student" and recipe.start is None
    student = seen_by(Path(recipe.guide.name)) if distilled else None
    names = {each.name for each in own.sets}
    more = [] if student is None else [each for each in student.sets if each.name not in names]
    return [*own.sets, *more]

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.errors import RecipeError
from nuguide.training.ablation.grid import GRIDS, planned, read_grid
from nuguide.training.checks import check_classes, check_terms
from nuguide.training.fit import fit
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import RECIPES, read_recipe

NO_PIXELS = {"losses.cross_entropy": 0.0, "losses.dice": 0.0}
NAMED = {"guide.kind": "named", "guide.name": "tinyvit-sam"}
DISTIL = {"network.options.fusion": "distil"}


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_all_of_a_packaged_recipe_is_of_use(name: str):
    recipe = read_recipe(name)
    if isinstance(recipe, SegmentationRecipe):
        check_terms(recipe)


@pytest.mark.parametrize("grid", sorted(path.stem for path in GRIDS.glob("*.toml")))
def test_all_of_a_packaged_grid_is_of_use(grid: str):
    for each in planned(read_grid(grid), "small", seeds=[0]):
        check_terms(each.recipe)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (NO_PIXELS, "head 'nuclei' .* has no loss.*cross_entropy or focal or dice"),
        ({"losses.distance": 0.0}, "head 'distance' .* has no loss.*set losses.distance"),
        ({"network.options.heads": ["distance"]}, r"is \['distance'\]; expected a list with"),
        ({"network.options.heads": "nuclei"}, "is 'nuclei'; expected a list with 'nuclei' in it"),
        ({"losses.tokens": 0.5}, "losses.tokens is 0.5 .* fusion 'none' .* kind 'none'"),
        (DISTIL | {"losses.tokens": 0.5}, "losses.tokens is 0.5 .* kind 'none'"),
        (NAMED, "guide 'tinyvit-sam' .* read by nothing: fusion is 'none'"),
        (NAMED | DISTIL, "read by nothing: fusion is 'distil' and losses.tokens 0;"),
    ],
)
def test_what_is_there_for_nothing_is_refused(changes: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        check_terms(read_recipe("small", changes))


def test_a_head_that_stays_as_its_model_has_it_needs_no_loss():
    check_terms(read_recipe("typed", NO_PIXELS | {"losses.offsets": 0.0}))
    with pytest.raises(RecipeError, match=r"head 'types' .* has no loss"):
        check_terms(read_recipe("typed", {"losses.types": 0.0}))


def test_a_type_that_validation_alone_has_is_refused_before_the_training(
    data: Path, sample: Sample
):
    recipe = read_recipe("broad")
    known, beyond = (
        replace(sample, types=(sample.labels > 0).astype(np.uint8) * number) for number in (4, 5)
    )
    check_classes(recipe, data, [known], [known, sample])
    with pytest.raises(RecipeError, match="types up to 5, the recipe broad has 4 classes"):
        check_classes(recipe, data, [known], [sample, beyond])


def test_a_training_without_a_loss_is_refused_before_its_folder_is_made(
    data: Path, make_segmentation, tmp_path: Path
):
    losses = {"cross_entropy": 0.0, "dice": 0.0, "distance": 0.0}
    with pytest.raises(RecipeError, match="has no loss"):
        fit(make_segmentation(losses=losses), data, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()

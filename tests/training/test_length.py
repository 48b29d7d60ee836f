import pytest

from nuguide.training.length import in_steps
from nuguide.training.recipe_file import checked_recipe


@pytest.fixture
def of_epochs(make_segmentation):
    def make(**changes):
        values = make_segmentation(**changes).model_dump(mode="json")
        del values["steps"], values["epoch_steps"]
        return checked_recipe(values | {"epochs": 50, "batch": 16, "views": 48}, "test")

    return make


def test_every_image_is_seen_so_often_in_each_epoch(of_epochs):
    recipe = in_steps(of_epochs(), 425)
    assert recipe.epoch_steps == 425 * 48 / 16
    assert recipe.steps == 50 * recipe.epoch_steps
    assert recipe.batch == 16


def test_the_last_batch_is_full(of_epochs):
    assert in_steps(of_epochs().model_copy(update={"views": 1}), 17).epoch_steps == 2


def test_a_recipe_of_steps_stays_as_it_is(make_segmentation):
    recipe = make_segmentation()
    assert in_steps(recipe, 1000) is recipe

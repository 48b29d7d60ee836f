import datetime
import re
from pathlib import Path

import pytest

from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import RecipeError
from nuguide.guides.student import StudentGuide
from nuguide.models.registry import load_card
from nuguide.networks.registry import build_network
from nuguide.training.recipe import DistillationRecipe, SegmentationRecipe
from nuguide.training.recipe_file import RECIPES, checked_recipe, parsed_changes, read_recipe
from nuguide.training.recipe_parts import ReleasedAugmentation

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def refusal(*arguments, **keywords) -> str:
    with pytest.raises(RecipeError) as error:
        read_recipe(*arguments, **keywords)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize("name", NAMES)
def test_packaged_recipes_load_and_build(name: str):
    recipe = read_recipe(name)
    assert recipe.name == name
    if isinstance(recipe, SegmentationRecipe):
        build_network(recipe.network.architecture, **recipe.network.options)
    else:
        StudentGuide(teacher=recipe.teacher, mpp=recipe.mpp, **recipe.student.model_dump())


def test_there_are_packaged_recipes():
    names = {"broad", "default", "guided", "open", "released", "small", "student", "typed"}
    assert names == set(NAMES)


def test_the_recipe_released_has_the_published_values():
    recipe = read_recipe("released")
    assert isinstance(recipe, SegmentationRecipe)
    assert (recipe.optimiser, recipe.learning_rate, recipe.weight_decay) == ("adam", 1e-4, 1e-5)
    assert (recipe.schedule, recipe.warmup_steps, recipe.clip, recipe.ema) == ("constant", 0, 0, 0)
    assert (recipe.epochs, recipe.batch, recipe.crop_px) == (50, 16, 256)
    weights = {name: weight for name, weight in recipe.losses if weight}
    assert weights == {"focal": 0.5, "released_dice": 0.5}
    assert recipe.released_augmentation == ReleasedAugmentation(
        mirror=0.5, rotate=True, zoom=(1, 2), noise=0.5, noise_share=0.3, gamma=(1, 1, 1.5)
    )
    assert recipe.network.options == {
        "width": 32,
        "heads": ("nuclei",),
        "activation": "glu",
        "pooling": "max_blur",
        "dropout": 0.3,
        "fusion": "released",
    }
    assert (recipe.guide.name, recipe.guide.field_um) == ("sam-vit-b", 256 * recipe.mpp)
    # 512 px at 0.25 um/px and 256 px at 0.5, resized whole.
    assert recipe.mpp == 0.5


def test_a_recipe_of_before_a_key_was_there_is_read_as_it_was_trained():
    old = read_recipe("default").model_dump(mode="json")
    for key in ("optimiser", "schedule", "epochs", "views", "released_augmentation"):
        del old[key]
    recipe = checked_recipe(old, "old")
    assert recipe == read_recipe("default")
    assert (recipe.optimiser, recipe.schedule, recipe.clip) == ("adamw", "cosine", 1.0)
    assert (recipe.epochs, recipe.released_augmentation) == (None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 10, "epochs": 5}, "steps is 10 beside epochs = 5; expected steps or epochs"),
        ({"epoch_steps": 10}, "epoch_steps is 10 beside epochs"),
        ({"crop_px": 128}, "crop_px is 128 with released_augmentation; expected 256"),
        ({"augmentation.grey": 0.5}, "augmentation is changed with released_augmentation"),
        ({"optimiser": "sgd"}, "optimiser: .*'adamw' or 'adam'.*'sgd'"),
        ({"schedule": "step"}, "schedule: .*'cosine' or 'constant'"),
        ({"clip": -1.0}, "clip: "),
        ({"views": 0}, "views: "),
        ({"released_augmentation.zoom": [0.5, 2.0]}, r"released_augmentation.zoom.0: .*0\.5"),
        ({"released_augmentation.zoom": [2, 1]}, r"zoom is \[2, 1\]; expected the smaller"),
        ({"released_augmentation.gamma": []}, "released_augmentation.gamma: "),
    ],
)
def test_a_wrong_value_of_the_released_recipe_is_one_clear_line(changes: dict, said: str):
    text = refusal("released", changes)
    assert re.search(said, text), text


def test_the_guided_recipe_differs_from_the_small_one_by_its_guide_alone():
    guided, unguided = read_recipe("guided"), read_recipe("small")
    assert isinstance(guided, SegmentationRecipe)
    assert isinstance(unguided, SegmentationRecipe)
    aside = {"name", "network", "guide", "decoding"}
    assert guided.model_dump(exclude=aside) == unguided.model_dump(exclude=aside)
    assert guided.network.architecture == unguided.network.architecture
    for key, value in unguided.network.options.items():
        assert guided.network.options[key] == value


def test_dotted_keys_change_values():
    changes = {"steps": 7, "network.options.width": 4, "augmentation.scale": [1.0, 1.5]}
    recipe = read_recipe("default", changes)
    assert isinstance(recipe, SegmentationRecipe)
    assert (recipe.steps, recipe.network.options["width"]) == (7, 4)
    assert recipe.augmentation.scale == (1.0, 1.5)
    assert recipe.network.options["dropout"] == 0.1, "what is not named stays"


def test_a_length_that_is_set_stands_in_place_of_the_other():
    short = read_recipe("default", {"epochs": 3, "views": 2})
    assert (short.epochs, short.views) == (3, 2)
    assert "6700" not in short.model_dump_json()
    told = read_recipe("released", {"steps": 10, "epoch_steps": 5})
    assert (told.steps, told.epoch_steps, told.epochs) == (10, 5, None)


def test_a_length_told_twice_in_a_file_is_refused(tmp_path: Path):
    path = tmp_path / "twice.toml"
    path.write_text('kind = "distillation"\nname = "twice"\nsteps = 10\nepochs = 2\n')
    assert "steps is 10 beside epochs = 2" in refusal(path)


def test_a_whole_number_is_taken_where_a_fraction_may_stand():
    changes = {"clip": 2, "losses.dice": 0, "augmentation.scale": [1, 2]}
    recipe = read_recipe("default", changes)
    assert isinstance(recipe, SegmentationRecipe)
    assert (recipe.clip, recipe.losses.dice, recipe.augmentation.scale) == (2.0, 0.0, (1.0, 2.0))


def test_a_recipe_survives_being_written(tmp_path: Path):
    for name in NAMES:
        recipe = read_recipe(name)
        assert checked_recipe(recipe.model_dump(mode="json"), "again") == recipe


def test_a_file_is_read_by_its_path(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "distillation"\nname = "mine"\nfield_um = 64.0\nmpp = 0.25\n')
    recipe = read_recipe(path)
    assert isinstance(recipe, DistillationRecipe)
    assert (recipe.name, recipe.field_um) == ("mine", 64.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nonsense": 1}, "nonsense is unknown"),
        ({"augmentation.nonsense": 1}, "augmentation.nonsense is unknown"),
        ({"steps": "many"}, "steps: .*'many'"),
        ({"steps": 0}, "steps: .*'0'"),
        ({"batch": -1}, "batch: "),
        ({"batch": 100_000}, "batch: .*less than or equal to 1024.*'100000'"),
        ({"crop_px": 16}, "crop_px: .*greater than or equal to 32.*'16'"),
        ({"crop_px": 100_000}, "crop_px: .*less than or equal to 2048.*'100000'"),
        ({"mpp": 50.0}, "mpp: "),
        ({"learning_rate": float("nan")}, "learning_rate: "),
        ({"ema": 1.0}, "ema: "),
        ({"augmentation.grey": 1.5}, "augmentation.grey: "),
        ({"augmentation": 3}, "augmentation: "),
        ({"seed": -1}, "seed: .*greater than or equal to 0"),
        ({"seed": 2**40}, "seed: .*less than 4294967296"),
        ({"steps": True}, "steps: .*valid integer"),
        ({"batch": "4"}, "batch: .*valid integer"),
        ({"mpp": "0.5"}, "mpp: .*valid number"),
        ({"balanced": 1}, "balanced: .*valid boolean"),
        ({"augmentation.rotate": "yes"}, "augmentation.rotate: .*valid boolean"),
        ({"augmentation.scale": [1.35, 0.75]}, r"scale is \[1.35, 0.75\]; expected the smaller"),
        ({"losses.dice": -1}, "losses.dice: .*greater than or equal to 0"),
        ({"split": "test"}, "split: .*'fit' or 'train'"),
        ({"name": "../elsewhere"}, "name: "),
        ({"name": "My Run"}, "name: "),
        ({"licence": ""}, "licence: "),
        ({"kind": "x"}, "'segmentation', 'distillation'"),
        ({"guide.kind": "named", "guide.name": "a/b"}, "guide: .*path on one machine"),
        ({"steps.more": 1}, "steps holds a value; expected a table"),
    ],
)
def test_a_wrong_value_is_one_clear_line(changes: dict, said: str):
    text = refusal("default", changes)
    assert re.search(said, text), text


def test_a_students_tokens_are_on_one_grid_with_its_teachers():
    assert "expected 256 times mpp, 128" in refusal("student", {"field_um": 64.0})


@pytest.mark.parametrize(
    ("key", "value"), [("widths", [4, 8, 8]), ("widths", [0, 8, 8, 8]), ("blocks", 0), ("x", 1)]
)
def test_a_students_shape_is_checked(key: str, value):
    assert f"student.{key}" in refusal("student", {f"student.{key}": value})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"foo": 3}, "--set foo: foo is unknown"),
        ({"foo.bar": 3}, "--set foo.bar: foo is unknown"),
        ({"seed": 1, "augmentation.scale": [1.0, "x"]}, "--set augmentation.scale: "),
        ({"augmentation.upright": True}, "--set augmentation.upright: augmentation: upright and"),
        ({"guide_control": "zeroed"}, "default.toml, changed by --set: guide_control is 'zeroed'"),
    ],
)
def test_what_was_set_is_not_blamed_on_the_file(changes: dict, said: str):
    assert said in refusal("default", changes)


def test_a_fault_of_the_file_is_not_blamed_on_what_was_set(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "distillation"\nname = "mine"\nfoo = 1\n')
    assert refusal(path, {"seed": 3}).startswith(f"{path}: foo is unknown")


def test_a_missing_kind_or_network_is_named():
    with pytest.raises(RecipeError, match="test: kind is missing; expected segmentation or dist"):
        checked_recipe({"name": "x"}, "test")
    with pytest.raises(RecipeError, match="network: Field required"):
        checked_recipe({"kind": "segmentation", "name": "x"}, "test")


def test_a_date_is_refused():
    assert "holds a date" in refusal("default", {"name": datetime.date(2020, 1, 1)})


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000])
def test_no_value_that_is_set_ends_in_a_traceback(value: str):
    assert "--set seed: " in refusal("default", parsed_changes([f"seed={value}"]))


def test_a_key_that_is_set_may_be_no_ladder_without_end():
    text = refusal("default", parsed_changes([f"network.options{'.a' * 2000}=1"]))
    assert "too deep" in text or "--set" in text


def test_an_unknown_name_lists_the_known(tmp_path: Path):
    text = refusal("defualt")
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize(
    "content",
    [
        b"kind = ",
        b"\xff\xfe\x00",
        b"a = 1\na = 2",
        b"seed = " + b"1" * 5000,
        b"seed = " + b"[" * 100_000,
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    assert "cannot be read as TOML" in refusal(path)


def test_the_open_recipe_counts_the_images_that_it_names(shared: Path):
    recipe = read_recipe("open")
    assert isinstance(recipe, SegmentationRecipe)
    folders = (shared / "data" / "dsb2018_brightfield", shared / "data" / "nucls_sample")
    for told, folder in zip(recipe.training_data, folders, strict=True):
        data = recognise(folder)
        assert (told.name, told.licence) == (data.title, data.licence)
        assert told.n_images == len(open_dataset(folder, "fit"))


def test_every_type_has_a_name():
    with pytest.raises(RecipeError, match="n_types is 4 and classes has 0 names"):
        read_recipe("broad", {"classes": []})
    with pytest.raises(RecipeError, match="n_types is 0 and classes has 2 names"):
        read_recipe("default", {"classes": ["one", "two"]})


def test_a_balanced_recipe_cannot_be_shuffled():
    guide = {"guide.kind": "named", "guide.name": "tinyvit-sam", "network.options.fusion": "cross"}
    with pytest.raises(RecipeError, match="would hand some images their own tokens"):
        read_recipe("open", guide | {"guide_control": "shuffled"})


def test_tokens_that_know_which_way_is_up_are_not_turned():
    with pytest.raises(RecipeError, match="upright and rotate are both true"):
        read_recipe("default", {"augmentation.upright": True})
    with pytest.raises(RecipeError, match=r"every_way is true and augmentation\.upright false"):
        read_recipe("student", {"every_way": True, "augmentation.upright": False})


def test_plain_tokens_are_those_of_a_student():
    with pytest.raises(RecipeError, match="of kind 'none'; expected 'student'"):
        read_recipe("default", {"plain_tokens": True})
    assert read_recipe("guided", {"plain_tokens": True}).plain_tokens


def test_types_are_chosen_on_images_that_the_network_beneath_has_not_seen():
    recipe = read_recipe("typed")
    assert isinstance(recipe, SegmentationRecipe)
    seen = {each.name for each in load_card(recipe.start.model).training_data}
    assert not seen & {each.name for each in recipe.training_data}


def test_only_heads_that_are_there_can_be_trained_alone():
    assert read_recipe("typed").trains_types_alone
    assert not read_recipe("typed", {"start.train": []}).trains_types_alone
    with pytest.raises(RecipeError, match=r"start\.train is \['types'\]; expected some of"):
        read_recipe("default", {"start": {"model": "default", "train": ["types"]}})

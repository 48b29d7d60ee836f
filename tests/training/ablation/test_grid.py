from pathlib import Path

import pytest

from nuguide.errors import RecipeError
from nuguide.networks.registry import build_network
from nuguide.training.ablation.grid import GRIDS, planned, read_grid
from nuguide.training.recipe_file import read_recipe

NAMES = sorted(path.stem for path in GRIDS.glob("*.toml"))
MINE = """
reference = "none"
seeds = [3, 1]
set.steps = 7
[variants.none]
about = "no guide"
[variants.wide]
about = "twice as wide"
set."network.options.width" = 16
"""

LONE = 'reference = "a"\nseeds = [0]\nvariants.a.about = "a"'


def written(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_every_packaged_grid_makes_recipes_whose_networks_can_be_built(name: str):
    grid = read_grid(name)
    plan = planned(grid, "small")
    assert len(plan) == len(grid.variants) * len(grid.seeds)
    for each in plan:
        options = each.recipe.network.options
        network = build_network(each.recipe.network.architecture, **options)
        reads = getattr(network, "reads_tokens", False)
        assert not (reads and each.recipe.guide.kind == "none"), each.recipe.name


@pytest.mark.parametrize("name", NAMES)
def test_the_variants_of_a_packaged_grid_have_one_budget_and_differ(name: str):
    plan = [each for each in planned(read_grid(name), "small") if each.recipe.seed == 0]
    assert len({(each.recipe.steps, each.recipe.batch, each.recipe.crop_px) for each in plan}) == 1
    made = [each.recipe.model_dump_json(exclude={"name"}) for each in plan]
    assert len(set(made)) == len(made)


def test_the_core_holds_what_the_question_needs():
    names = {"none", "released", "paper", "cross", "distil", "cross-zeroed", "cross-shuffled"}
    assert names <= read_grid("core").variants.keys()


def test_the_controls_of_the_core_differ_from_cross_by_their_tokens_alone():
    core = {each.recipe.name: each.recipe for each in planned(read_grid("core"), "small")}
    for control in ("zeroed", "shuffled"):
        aside = {"name", "guide_control"}
        recipe = core[f"cross-{control}-s1"]
        assert recipe.guide_control == control
        assert recipe.model_dump(exclude=aside) == core["cross-s1"].model_dump(exclude=aside)


def test_a_row_of_the_core_is_the_recipe_of_the_same_changes_by_hand():
    changes = {"steps": 900, "name": "distil-s0", "seed": 0, "losses.tokens": 0.5}
    changes |= {"decoding.foreground_threshold": 0.5}
    changes |= {"network.options.fusion": "distil", "network.options.fusion_level": 4}
    changes |= {"guide.kind": "named", "guide.name": "tinyvit-sam", "guide.field_um": 128.0}
    core = {each.recipe.name: each.recipe for each in planned(read_grid("core"), "small")}
    assert core["distil-s0"] == read_recipe("small", changes)


def test_runs_come_seed_by_seed_and_bear_their_variants_name(tmp_path: Path):
    plan = planned(read_grid(written(tmp_path, MINE)), "small")
    assert [each.recipe.name for each in plan] == ["none-s3", "wide-s3", "none-s1", "wide-s1"]
    assert [each.variant for each in plan] == ["none", "wide", "none", "wide"]
    assert [each.recipe.seed for each in plan] == [3, 3, 1, 1]
    assert [each.recipe.network.options["width"] for each in plan] == [8, 16, 8, 16]
    assert {each.recipe.steps for each in plan} == {7}


def test_a_variant_may_have_a_reference_of_its_own(tmp_path: Path):
    grid = read_grid(written(tmp_path, f'{MINE}\n[variants.w]\nabout = "x"\nreference = "wide"\n'))
    assert [grid.reference_of(name) for name in ("none", "wide", "w")] == ["none", "none", "wide"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('reference = "none"', 'reference = "non"', "did you mean none"),
        ("seeds = [3, 1]", "seeds = [3, 3]", "a seed stands twice"),
        ("seeds = [3, 1]", "seeds = []", "seeds: "),
        ("seeds = [3, 1]", "seeds = [-1]", "seeds.0: "),
        ("[variants.wide]", "[variants.Wide]", "variants.Wide"),
        ('about = "no guide"', "", "variants.none.about: Field required"),
        ('about = "no guide"', 'about = "a"\nabuot = "b"', "variants.none.abuot is unknown"),
        ('about = "no guide"', 'about = "a"\nreference = "x"', "Known: none, wide"),
        ("set.steps = 7", "set.steps = ", "cannot be read as TOML"),
        ("set.steps = 7", f"set.steps = {'1' * 5000}", "cannot be read as TOML"),
        ("set.steps = 7", "set.steps = 2020-01-01", "cannot be read as TOML"),
    ],
)
def test_a_wrong_grid_is_one_clear_line(tmp_path: Path, old: str, new: str, said: str):
    with pytest.raises(RecipeError) as error:
        read_grid(written(tmp_path, MINE.replace(old, new)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_recipe_of_a_variant_is_found_before_anything_is_trained(tmp_path: Path):
    grid = read_grid(written(tmp_path, MINE.replace("set.steps", "set.stpes")))
    with pytest.raises(RecipeError, match="stpes is unknown"):
        planned(grid, "small")
    with pytest.raises(RecipeError, match="expected that of a segmentation"):
        planned(read_grid(written(tmp_path, LONE)), "student")


def test_some_variants_and_seeds_are_planned_alone(tmp_path: Path):
    grid = read_grid(written(tmp_path, MINE))
    names = [each.recipe.name for each in planned(grid, "small", only=["wide"], seeds=[1, 3])]
    assert names == ["wide-s3", "wide-s1"]
    with pytest.raises(RecipeError, match="--only names 'wdie'; did you mean wide"):
        planned(grid, "small", only=["wide", "wdie"])
    with pytest.raises(RecipeError, match="--seed names 7; expected of 3, 1"):
        planned(grid, "small", seeds=[1, 7])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(RecipeError, match="core"):
        read_grid("croe")


def test_a_name_means_one_recipe_in_every_packaged_grid():
    made: dict[str, object] = {}
    for name in NAMES:
        for each in planned(read_grid(name), "small"):
            assert made.setdefault(each.recipe.name, each.recipe) == each.recipe

from pathlib import Path

import pytest

from fixtures.replicas import write_conic, write_cryonuseg, write_nuinsseg
from nuguide.datasets.opening import recognise
from nuguide.errors import DataSetError, RecipeError
from nuguide.networks.registry import build_network
from nuguide.training.reproduction.plan import choose, find_sets, plan_of
from nuguide.training.reproduction.published import NETWORKS, SETS

EVERY = choose()


def test_the_published_table_is_whole():
    assert [each.name for each in SETS] == ["cryonuseg", "nuinsseg", "conic"]
    for each in SETS:
        assert list(each.figures) == list(NETWORKS)
        assert each.sources
        assert each.title in each.looks_like
    by_name = {each.name: each.figures for each in SETS}
    assert by_name["cryonuseg"]["unet"].dice == 0.7371
    assert by_name["nuinsseg"]["eunet3plus-guided"].miou == 0.8938
    assert by_name["conic"]["eunet3plus"].dice == 0.8966


@pytest.mark.parametrize(
    ("name", "learning_rate", "views"),
    [("cryonuseg", 1e-4, 99), ("nuinsseg", 1e-4, 48), ("conic", 1e-5, 1)],
)
def test_every_network_is_trained_on_a_set_as_published(
    name: str, learning_rate: float, views: int
):
    data = next(each for each in SETS if each.name == name)
    plan = list(plan_of(data, EVERY))
    assert [each.variant for each in plan[:5]] == [f"{name}-{network}" for network in NETWORKS]
    assert [each.recipe.name for each in plan[::5]] == [f"{name}-unet-s{n}" for n in range(3)]
    for each in plan:
        recipe = each.recipe
        assert (recipe.learning_rate, recipe.views) == (learning_rate, views)
        assert (recipe.epochs, recipe.batch, recipe.optimiser) == (50, 16, "adam")
        assert recipe.network.options["width"] == 32
        assert recipe.released_augmentation is not None
        guided = each.variant.endswith("guided")
        assert (recipe.guide.name, recipe.guide.field_um) == (
            ("sam-vit-b", 128.0) if guided else ("", None)
        )
        assert bool(recipe.losses.distance) == each.variant.endswith("ddunet")


def test_the_networks_are_those_of_the_table():
    plan = plan_of(SETS[0], choose(seeds=[0]), {"network.options.width": 2})
    made = {
        each.variant: build_network(each.recipe.network.architecture, **each.recipe.network.options)
        for each in plan
    }
    assert [type(network).__name__ for network in made.values()] == [
        "UNet",
        "DualDecoderUNet",
        "UNet3Plus",
        "EUNet3Plus",
        "EUNet3Plus",
    ]
    reads = [getattr(network, "reads_tokens", False) for network in made.values()]
    assert reads == [False, False, False, False, True]


def test_a_part_can_be_chosen_by_data_set_network_and_seed():
    part = choose(["conic", "unet", "ddunet"], [1])
    assert [each.name for each in part.sets] == ["conic"]
    names = [each.recipe.name for data in part.sets for each in plan_of(data, part)]
    assert names == ["conic-unet-s1", "conic-ddunet-s1"]
    assert len(choose(["conic"]).networks) == 5
    assert len(choose(["unet"]).sets) == 3


def test_an_unknown_choice_is_refused():
    with pytest.raises(RecipeError, match="did you mean conic"):
        choose(["connic"])
    with pytest.raises(RecipeError, match="--seed names 7; expected of 0, 1, 2"):
        choose(seeds=[7])


def test_data_sets_are_found_by_what_they_hold(tmp_path: Path):
    write_cryonuseg(tmp_path / "x", size=32)
    write_nuinsseg(tmp_path / "y", each=1, size=32)
    write_conic(tmp_path / "z", each=1)
    (tmp_path / "cryonuseg").mkdir()
    found = find_sets(tmp_path)
    assert {name: path.name for name, path in found.items()} == {
        "cryonuseg": "x",
        "nuinsseg": "y",
        "conic": "z",
    }
    assert {recognise(path).name for path in found.values()} == found.keys()
    for name, path in found.items():
        assert find_sets(path) == {name: path}, "the folder of one of them will do"


def test_a_data_set_that_is_there_twice_is_refused(tmp_path: Path):
    write_conic(tmp_path / "one", each=1)
    write_conic(tmp_path / "two", each=1)
    with pytest.raises(DataSetError, match="holds CoNIC in one and two; expected it once"):
        find_sets(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match="is no folder"):
        find_sets(tmp_path / "absent")

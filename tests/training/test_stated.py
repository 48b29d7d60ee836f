from pathlib import Path

import pytest

from nuguide.datasets.opening import recognise
from nuguide.models.licence import CommercialUse, commercial_use
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.recipe_file import read_recipe
from nuguide.training.seen import Seen, SeenSet, keep_seen
from nuguide.training.stated import left_unstated, licence_and_data

MONUSEG = SeenSet(name="MoNuSeg 2018", licence="CC BY-NC-SA 4.0", n_images=24)
DSB = SeenSet(name="DSB 2018, bright-field tissue", licence="CC0-1.0", n_images=87)
NUCLS = SeenSet(name="NuCLS sample", licence="CC0-1.0", n_images=8)
MINE = SeenSet(name="MINE", licence="", n_images=3)


def ran(folder: Path, *sets: SeenSet) -> Path:
    folder.mkdir(exist_ok=True)
    keep_seen(folder, Seen(folders="a folder", sha256="0" * 64, sets=sets))
    return folder


def recipe(name: str, **changes) -> SegmentationRecipe:
    made = read_recipe(name, changes)
    assert isinstance(made, SegmentationRecipe)
    return made


@pytest.mark.parametrize(
    ("name", "sets"), [("default", [MONUSEG]), ("small", [MONUSEG]), ("open", [NUCLS, DSB])]
)
def test_the_recipes_words_are_kept_for_the_data_that_it_names(
    name: str, sets: list[SeenSet], tmp_path: Path
):
    chosen, run = recipe(name), ran(tmp_path, *sets)
    assert licence_and_data(run, chosen) == (chosen.licence, chosen.training_data)
    assert left_unstated(run, chosen) is None


def test_a_recipe_for_open_data_frees_no_weights_of_others(tmp_path: Path):
    run = ran(tmp_path, MONUSEG)
    licence, (data,) = licence_and_data(run, recipe("open"))
    assert licence == "not stated"
    assert (data.name, data.split, data.n_images) == ("MoNuSeg 2018", "fit", 24)
    assert commercial_use(data.licence) is CommercialUse.FORBIDDEN
    line = left_unstated(run, recipe("open"))
    assert "\n" not in line
    assert line.startswith("trained on MoNuSeg 2018 (CC BY-NC-SA 4.0), licence not stated")
    assert "the recipe speaks of DSB 2018, bright-field tissue, NuCLS sample; to state it" in line


@pytest.mark.parametrize("sets", [[MINE], [MONUSEG, MINE]])
def test_data_of_ones_own_are_told_and_not_those_of_the_recipe(sets: list, tmp_path: Path):
    licence, data = licence_and_data(ran(tmp_path, *sets), recipe("default"))
    assert licence == "not stated"
    assert [each.name for each in data] == [each.name for each in sets]
    assert (data[-1].licence, data[-1].citation) == ("not stated", "not stated")


def test_what_a_recipe_states_of_a_folder_is_taken(tmp_path: Path):
    told = {"name": "MINE", "licence": "CC0-1.0", "split": "all", "n_images": 3, "citation": "us"}
    chosen = recipe("default", training_data=[told], licence="CC0-1.0")
    licence, (data,) = licence_and_data(ran(tmp_path, MINE), chosen)
    assert (licence, data.citation) == ("CC0-1.0", "us")


def test_what_a_student_has_seen_counts(tmp_path: Path):
    student = ran(tmp_path / "student", MONUSEG, NUCLS)
    guide = {"kind": "student", "name": str(student)}
    chosen, run = recipe("open", guide=guide), ran(tmp_path / "run", DSB, NUCLS)
    licence, data = licence_and_data(run, chosen)
    assert licence == "not stated"
    assert [each.name for each in data] == [DSB.name, NUCLS.name, MONUSEG.name]
    (student / "data.json").unlink()
    assert licence_and_data(run, chosen)[0] == "CC0-1.0", "of an older student nothing is known"


def test_of_an_older_run_the_recipes_words_are_all_there_is(tmp_path: Path):
    chosen = recipe("default")
    assert licence_and_data(tmp_path, chosen) == (chosen.licence, chosen.training_data)
    assert left_unstated(tmp_path, chosen) is None


def test_the_packaged_recipes_name_data_sets_by_their_titles(shared: Path):
    """Else their own words would never be kept."""
    titles = {recognise(shared / "data" / name).title for name in ("dsb2018_brightfield", "consep")}
    names = {each.name for name in ("open", "typed") for each in recipe(name).training_data}
    assert titles < names

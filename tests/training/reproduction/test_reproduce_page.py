"""docs/reproduce.md says what the code does."""

import re
from pathlib import Path

from fixtures.replicas import write_cryonuseg
from nuguide.datasets.opening import open_dataset
from nuguide.training.recipe_file import parsed_changes
from nuguide.training.reproduction.plan import choose, plan_of
from nuguide.training.reproduction.published import NETWORKS, SETS

PAGE = (Path(__file__).resolve().parents[3] / "docs/reproduce.md").read_text(encoding="utf-8")


def test_the_published_table_is_that_of_the_code():
    for network, title in NETWORKS.items():
        cells = [each.figures[network] for each in SETS]
        told = " | ".join(f"{c.dice:.4f}/{c.miou:.4f}".replace("0.", ".") for c in cells)
        assert f"| {title} | {told} |" in PAGE


def test_sources_learning_rates_and_views_are_those_of_the_code():
    for data in SETS:
        for source in data.sources:
            assert source in PAGE
        rate = f"{data.changes['learning_rate']:.0e}".replace("e-0", "e-")
        assert f"| {data.title} | {rate} | {data.changes['views']} |" in PAGE


def test_cryonuseg_is_divided_as_the_page_says(tmp_path: Path):
    write_cryonuseg(tmp_path, size=32)
    told = re.search(r"(\d+) to test \(one of each organ\), (\d+) to choose, (\d+) to fit", PAGE)
    assert told is not None
    parts = [len(open_dataset(tmp_path, part)) for part in ("test", "validation", "fit")]
    assert [int(number) for number in told.groups()] == parts


def test_the_trial_on_the_page_is_a_plan_of_one_small_run():
    changes = parsed_changes(re.findall(r"--set (\S+=\d+)", PAGE))
    choice = choose(re.findall(r"--only (\w+)", PAGE)[-2:], [0])
    (run,) = plan_of(choice.sets[0], choice, changes)
    assert run.recipe.name == "conic-unet-s0"
    assert (run.recipe.network.options["width"], run.recipe.epochs) == (4, 1)

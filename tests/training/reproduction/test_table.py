from pathlib import Path

import pytest
from rich.console import Console

from nuguide.errors import InputError
from nuguide.training.ablation.rows import Found, Row
from nuguide.training.reproduction.plan import choose, plan_of
from nuguide.training.reproduction.published import SETS
from nuguide.training.reproduction.table import (
    as_markdown,
    as_tables,
    footnotes,
    lines,
    write_report,
)

CHOICE = choose(["cryonuseg", "unet", "eunet3plus"])


def released(values: list[float], origins: list[str]) -> Found:
    images = tuple(
        {"name": f"image {i}", "origin": origin, "dice_weighted": v, "iou_weighted": v - 0.1}
        for i, (v, origin) in enumerate(zip(values, origins, strict=True))
    )
    return Found(scores={"dice_weighted": sum(values) / len(values)}, images=images)


@pytest.fixture
def row(make_row):
    def make(network: str, seed: int, values: list[float], changes=None, **more) -> Row:
        part = choose([network], [seed])
        (planned,) = plan_of(SETS[0], part, changes)
        origins = more.pop("origins", [""] * len(values))
        made = make_row(
            planned.variant,
            seed,
            [value - 0.3 for value in values],
            split="test",
            recipe=planned.recipe.model_dump(mode="json"),
            **more,
        )
        return made.model_copy(update={"protocols": {"released": released(values, origins)}})

    return make


def printed(found, width: int = 80) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(*as_tables(found))
    return capture.get()


def test_published_figures_stand_beside_ours_under_their_own_protocol_alone(row):
    rows = [row("unet", seed, [0.9, 0.8]) for seed in (0, 1, 2)]
    found = lines(CHOICE, rows)
    assert [(line.network, line.seeds) for line in found] == [
        ("unet", (0, 1, 2)),
        ("eunet3plus", ()),
    ]
    assert found[0].scores["released"]["dice_weighted"].mean == pytest.approx(0.85)
    assert found[0].scores["standard"]["aji"].mean == pytest.approx(0.55)
    ours, standard = printed(found).split("protocol standard")
    assert "0.737" in ours
    assert "0.850 [0.800, 0.900]" in ours
    assert "0.737" not in standard, "the published figure is of the other definition"
    assert "0.550 [0.500, 0.600]" in standard
    assert "0.850" not in standard
    bare = next(line for line in ours.splitlines() if line.startswith("eU-Net3+"))
    assert bare.split() == ["eU-Net3+", "0.840", "0.764", "-", "-", "-", "-"]


def test_nothing_is_cut_off_at_eighty_columns(row):
    found = lines(choose(), [row("eunet3plus-guided", 0, [0.9, 0.8])])
    text = printed(found)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("protocol released") == text.count("protocol standard") == 3


def test_images_of_one_slide_are_drawn_together(row):
    values, slides = [0.9] * 4 + [0.5] * 4, ["a"] * 4 + ["b"] * 4
    apart, together = (
        lines(CHOICE, [row("unet", 0, values, origins=origins)])[0].scores["released"]
        for origins in ([""] * 8, slides)
    )
    ends = together["dice_weighted"].low, together["dice_weighted"].high
    assert ends == pytest.approx((0.5, 0.9)), "one slide alone is drawn now and then"
    assert apart["dice_weighted"].low > 0.52
    assert apart["dice_weighted"].high < 0.88


def test_the_notes_say_what_is_not_known_and_how_few_seeds_there_are(row):
    notes = " ".join(footnotes(lines(CHOICE, [row("unet", 0, [0.9, 0.8])])))
    assert "seeds and spread of the published figures are not known" in notes
    assert "no difference is read" in notes
    assert "background included" in notes
    assert "Preliminary" in notes
    assert "fitted on 2 images" in notes
    assert "Not the published training" not in notes
    enough = footnotes(lines(CHOICE, [row("unet", seed, [0.9]) for seed in (0, 1, 2)]))
    assert "Preliminary" not in " ".join(enough)


def test_what_departs_from_the_published_training_is_told(row):
    changes = {"network.options.width": 4, "epochs": 2}
    found = lines(CHOICE, [row("unet", 0, [0.9], changes), row("eunet3plus", 0, [0.9])])
    assert found[0].departures == ("epochs 2 for 50", "network.options.width 4 for 32")
    assert found[1].departures == ()
    notes = footnotes(found)
    assert notes[-1] == (
        "Not the published training: epochs 2 for 50, network.options.width 4 for 32 "
        "(cryonuseg-unet)."
    )


def test_a_key_that_a_row_is_older_than_is_no_departure(row):
    old = row("unet", 0, [0.9])
    del old.recipe["precision"]
    assert lines(CHOICE, [old])[0].departures == ()


def test_rows_of_different_images_are_refused(row):
    with pytest.raises(InputError, match="scored on different images"):
        lines(CHOICE, [row("unet", 0, [0.9]), row("eunet3plus", 0, [0.9, 0.8])])


def test_the_report_holds_the_tables(row, tmp_path: Path):
    found = lines(CHOICE, [row("unet", 0, [0.9, 0.8])])
    path = write_report(found, tmp_path / "new")
    assert path.read_text() == as_markdown(found)
    table = [line for line in path.read_text().splitlines() if line.startswith("|")]
    assert (
        "| U-Net | 0.737 | 0.610 | 1 | 2 | 0.850 [0.800, 0.900] | 0.750 [0.700, 0.800] |" in table
    )
    assert "published split: 30 images" in path.read_text()

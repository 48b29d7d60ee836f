import re
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from nuguide.errors import InputError
from nuguide.training.ablation.figure import forest, write_report
from nuguide.training.ablation.grid import Grid
from nuguide.training.ablation.table import (
    HEADINGS,
    as_markdown,
    as_tables,
    cells,
    entries,
    footnotes,
)


@pytest.fixture
def grid() -> Grid:
    variants = {name: {"about": f"the row {name}"} for name in ("none", "cross", "few", "absent")}
    variants["few"]["reference"] = "cross"
    return Grid.model_validate({"reference": "none", "seeds": (0, 1), "variants": variants})


@pytest.fixture
def rows(make_row) -> list:
    zeros = {"zeroed": [0.1, 0.2]}
    return [
        make_row("cross", 1, [0.64, 0.54], controls=zeros),
        make_row("none", 0, [0.60, 0.50]),
        make_row("none", 1, [0.62, 0.52]),
        make_row("cross", 0, [0.63, 0.53], controls=zeros),
        make_row("few", 1, [0.44, 0.34]),
        make_row("foreign", 0, [0.9, 0.9]),
    ]


def test_means_and_paired_differences(grid: Grid, rows: list):
    none, cross, few = entries(grid, rows)
    assert [each.variant for each in (none, cross, few)] == ["none", "cross", "few"]
    assert none.means["aji"].mean == pytest.approx(0.56)
    assert none.differences == {}
    assert (none.seeds, none.n_images, none.n_fit, none.steps) == ((0, 1), 2, 2, 4)
    assert none.seconds == pytest.approx(10.5)
    gap = cross.differences["aji"]
    assert gap.mean == pytest.approx(0.025)
    assert (gap.low, gap.high) == pytest.approx((0.02, 0.03)), "images drop out by pairing"
    assert cross.controls["zeroed"].mean == pytest.approx(0.15 - 0.585)
    assert set(cross.controls) == {"zeroed"}
    assert few.differences["pq"].mean == pytest.approx(-0.2), "its own reference, shared seed"


def test_images_of_one_patient_are_drawn_together(grid: Grid, make_row):
    alike = [0.1] * 5 + [0.9] * 5
    better = [value + 0.1 * value for value in alike]
    patients = ["a"] * 5 + ["b"] * 5
    rows = [
        make_row("none", 0, alike, origins=patients),
        make_row("cross", 0, better, origins=patients, controls={"zeroed": alike}),
    ]
    none, cross = entries(grid, rows)
    assert (none.n_images, none.n_units) == (10, 2)
    for interval, ends in (
        (none.means["aji"], (0.1, 0.9)),
        (cross.differences["aji"], (0.01, 0.09)),
        (cross.controls["zeroed"], (-0.09, -0.01)),
    ):
        assert (interval.low, interval.high) == pytest.approx(ends), "one patient alone, or both"
    assert "it draws 2 patients or slides" in footnotes([none, cross])[0]
    (alone,) = entries(grid, [make_row("none", 0, alike)])
    assert (alone.n_units, alone.means["aji"].low > 0.1) == (10, True)
    assert "patients" not in footnotes([alone])[0]


def test_without_a_shared_seed_there_is_no_difference(grid: Grid, make_row):
    lone = entries(grid, [make_row("none", 0, [0.5]), make_row("cross", 1, [0.6])])
    assert [each.differences for each in lone] == [{}, {}]
    gap = HEADINGS.index("AJI minus reference")
    assert [cells(each)[gap] for each in lone] == ["reference", "-"]


@pytest.mark.parametrize("change", [{"data": "other"}, {"split": "test"}])
def test_rows_of_other_images_are_refused(grid: Grid, make_row, change: dict):
    with pytest.raises(InputError, match="scored on different images"):
        entries(grid, [make_row("none", 0, [0.5]), make_row("cross", 0, [0.6], **change)])
    with pytest.raises(InputError, match="scored on different images"):
        entries(grid, [make_row("none", 0, [0.5]), make_row("cross", 0, [0.6, 0.7])])


def test_the_table_shows_every_variant_with_interval_and_rule(grid: Grid, rows: list):
    found = entries(grid, rows)
    console = Console(width=80, no_color=True)
    with console.capture() as capture:
        console.print(*as_tables(found))
    printed = capture.get()
    assert "+0.025 [+0.020, +0.030]" in printed
    assert all(heading in printed for heading in HEADINGS)
    assert "1,234,567" in printed
    notes = " ".join(footnotes(found))
    assert "10,000 bootstrap draws" in notes
    assert "Preliminary" in notes


def test_the_report_holds_table_and_figures(grid: Grid, rows: list, tmp_path: Path):
    found = entries(grid, rows)
    paths = write_report(found, tmp_path / "new")
    names = ["ablation.md", "ablation.svg", "ablation-cost.svg"]
    assert [path.name for path in paths] == names
    text = paths[0].read_text()
    assert text == as_markdown(found)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "- `cross`: the row cross" in text
    forest = paths[1].read_text()
    assert re.search(r"cross - none", forest)
    assert "few - cross" in forest
    again = write_report(found, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_the_legend_lies_inside_the_figure(grid: Grid, rows: list, make_row):
    both = {"zeroed": [0.1, 0.2], "shuffled": [0.1, 0.2]}
    guided = make_row("cross", 0, [0.63, 0.53], controls=both)
    figure = forest(entries(grid, [*rows[1:3], guided]))
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 3
    inside, box = figure.bbox, legend.get_window_extent()
    assert inside.x0 <= box.x0 < box.x1 <= inside.x1
    assert inside.y0 <= box.y0 < box.y1 <= inside.y1


def test_without_a_difference_there_is_nothing_to_draw(grid: Grid, rows: list, tmp_path: Path):
    found = entries(grid, rows[1:3])
    assert [path.name for path in write_report(found, tmp_path)] == ["ablation.md"]

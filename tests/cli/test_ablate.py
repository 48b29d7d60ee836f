import sys
from pathlib import Path

import pytest

from nuguide.cli import main as program
from nuguide.training.ablation.rows import add_row

GRID = """
reference = "none"
seeds = [0, 1]
[variants.none]
about = "no guide"
[variants.wide]
about = "wider"
set."network.options.width" = 16
"""


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """Return what would have been trained, in place of training it."""
    calls: list[tuple] = []

    def ablate(plan, data, file, out, *, split, unseen, mpp, say, progress):
        calls.append(([each.recipe.name for each in plan], data, file, out, split, mpp, *unseen))

    monkeypatch.setattr("nuguide.training.ablation.run.ablate", ablate)
    return calls


@pytest.fixture
def grid(tmp_path: Path) -> str:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return str(path)


def run(monkeypatch, *arguments: str) -> int:
    command = ["nuguide", "ablate", "default", "--data", "d", "--runs", "none.jsonl", *arguments]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code


def test_the_whole_grid_is_run(monkeypatch, asked, grid, capsys):
    assert run(monkeypatch, "--grid", grid) == 0
    names = ["none-s0", "wide-s0", "none-s1", "wide-s1"]
    files = (Path("d"), Path("none.jsonl"), Path("runs/ablation"), "validation", None)
    assert asked == [(names, *files)]
    assert "no run of this grid is in none.jsonl" in capsys.readouterr().out


def test_a_part_of_it_can_be_chosen(monkeypatch, asked, grid):
    chosen = ("--only", "wide", "--seed", "1", "--mpp", "0.5", "-o", "here")
    assert run(monkeypatch, "--grid", grid, *chosen) == 0
    assert asked[0][0] == ["wide-s1"]
    assert asked[0][3:6] == (Path("here"), "validation", 0.5)


def test_data_that_no_run_has_seen_is_scored_and_shown_apart(
    monkeypatch, asked, grid, capsys, make_row, tmp_path: Path
):
    runs, report = tmp_path / "runs.jsonl", tmp_path / "report"
    for data, split, aji in (("d", "validation", 0.5), ("lab", "all", 0.4), ("lab", "test", 0.9)):
        for variant, more in (("none", 0.0), ("wide", 0.03)):
            add_row(runs, make_row(variant, 0, [aji + more, aji], data=data, split=split))
    shown = ("--grid", grid, "--runs", str(runs), "--report", str(report))
    assert run(monkeypatch, *shown, "--unseen", "away/lab") == 0
    assert asked[0][6:] == (Path("away/lab"),)
    first, second = capsys.readouterr().out.split("\nlab, all\n")
    assert "\nd, validation\n" in first
    assert "0.515" in first
    assert "0.415" in second
    assert "0.915" not in first + second
    files = {f"{stem}{end}" for stem in ("ablation", "ablation-lab") for end in (".md", ".svg")}
    assert {path.name for path in report.iterdir()} >= files


def test_it_can_be_shown_without_training(monkeypatch, asked, grid):
    assert run(monkeypatch, "--grid", grid, "--no-train") == 0
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "wdie"), "did you mean wide"),
        (("--seed", "7"), "expected of 0, 1"),
        (("--grid", "croe"), "no grid 'croe'"),
    ],
)
def test_a_wrong_choice_is_one_line_and_exit_code_two(
    monkeypatch, asked, grid, capsys, arguments, said: str
):
    assert run(monkeypatch, "--grid", grid, *arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert asked == []

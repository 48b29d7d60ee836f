import sys
from pathlib import Path

import pytest

from nuguide.cli import main as program

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

    def ablate(plan, data, file, out, *, split, say, progress):
        calls.append(([each.recipe.name for each in plan], data, file, out, split))

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
    files = (Path("d"), Path("none.jsonl"), Path("runs/ablation"), "validation")
    assert asked == [(names, *files)]
    assert "no run of this grid is in none.jsonl" in capsys.readouterr().out


def test_a_part_of_it_can_be_chosen(monkeypatch, asked, grid):
    assert run(monkeypatch, "--grid", grid, "--only", "wide", "--seed", "1", "-o", "here") == 0
    assert asked[0][0] == ["wide-s1"]
    assert asked[0][3] == Path("here")


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

import sys
from pathlib import Path

import pytest

from nuguide.cli import main as program
from nuguide.errors import DataSetError
from nuguide.training.history import CURVE_FILE
from nuguide.training.log import METRICS
from nuguide.training.seen import Seen, SeenSet, keep_seen


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """Return what would have been trained, in place of training it."""
    calls: list[tuple] = []

    def fit(recipe, data, out, *, mpp, progress, devices, nodes):
        calls.append((recipe, data, out, mpp))
        return out / "checkpoints" / "best.ckpt"

    monkeypatch.setattr("nuguide.training.fit.fit", fit)
    monkeypatch.setattr("nuguide.training.finish.finish", lambda run: run / "model")
    return calls


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["nuguide", "train", *arguments])
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code


def test_values_are_read_as_toml_and_bare_words_as_text(monkeypatch, asked, capsys):
    changes = ("steps=7", "network.options.width=4", "split=train", "augmentation.rotate=false")
    sets = [word for change in changes for word in ("--set", change)]
    scale = ("--set", "augmentation.scale=[1.0, 1.5]")
    assert run(monkeypatch, "default", "--data", "d", "-o", "r", *sets, *scale) == 0
    ((recipe, data, out, mpp),) = asked
    assert mpp is None
    assert (recipe.steps, recipe.split, recipe.augmentation.rotate) == (7, "train", False)
    assert recipe.network.options["width"] == 4
    assert recipe.augmentation.scale == (1.0, 1.5)
    assert (data, out) == ([Path("d")], Path("r"))
    printed = capsys.readouterr().out
    assert str(Path("r/checkpoints/best.ckpt")) in printed
    assert str(Path("r/model")) in printed


def test_the_folder_is_named_after_the_recipe(monkeypatch, asked):
    assert run(monkeypatch, "default", "--data", "d", "--set", "name=second") == 0
    assert asked[0][2] == Path("runs/second")


def test_a_student_is_no_model_and_none_is_promised(monkeypatch, asked, capsys):
    monkeypatch.setattr("nuguide.training.finish.finish", lambda run: None)
    assert run(monkeypatch, "student", "--data", "d") == 0
    assert "model" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("default", "--set", "steps"), "--set says 'steps'; expected KEY=VALUE"),
        (("default", "--set", "=5"), "--set says '=5'; expected KEY=VALUE"),
        (("default", "--set", "nonsense=5"), "nonsense is unknown"),
        (("default", "--set", "steps=many"), "'many'"),
        (("default", "--set", "name=2020-01-01"), "holds a date"),
        (("defualt",), "no recipe 'defualt'"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_one_line_and_exit_code_two(
    monkeypatch, asked, capsys, arguments, said: str
):
    assert run(monkeypatch, *arguments, "--data", "d") == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert asked == []


def test_a_bad_data_set_is_one_line_and_exit_code_two(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "default", "--data", str(tmp_path / "absent")) == 2
    assert "absent is no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "a failed start leaves nothing behind"


def test_an_error_of_finishing_is_exit_code_two(monkeypatch, asked, capsys):
    def fail(run):
        raise DataSetError("got; expected; do")

    monkeypatch.setattr("nuguide.training.finish.finish", fail)
    assert run(monkeypatch, "default", "--data", "d") == 2


def test_ctrl_c_is_exit_code_130(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nuguide.training.fit.fit", interrupted)
    assert run(monkeypatch, "default", "--data", "d") == 130
    assert "interrupted" in capsys.readouterr().err


def test_data_are_required(monkeypatch, asked):
    assert run(monkeypatch, "default") == 2
    assert asked == []


def test_a_card_that_says_less_than_its_recipe_is_told_in_a_line(
    monkeypatch, asked, capsys, tmp_path: Path
):
    seen = SeenSet(name="MINE", licence="", n_images=3)
    keep_seen(tmp_path, Seen(folders="MINE", sha256="0" * 64, sets=(seen,)))
    assert run(monkeypatch, "open", "--data", "MINE", "-o", str(tmp_path)) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("card"))
    assert "trained on MINE (not stated), licence not stated" in line


def test_the_scale_of_images_that_tell_none_is_passed_on(monkeypatch, asked, capsys):
    assert run(monkeypatch, "small", "--data", "a", "--mpp", "0.25") == 0
    assert asked[0][3] == 0.25
    assert "nuguide calibrate runs/small/model a --mpp 0.25" in capsys.readouterr().out
    assert run(monkeypatch, "small", "--data", "my a", "-o", "my run") == 0
    assert "nuguide calibrate 'my run/model' 'my a'\n" in capsys.readouterr().out
    assert run(monkeypatch, "small", "--data", "a", "--mpp", "much") == 2
    assert "much" in capsys.readouterr().err


def test_the_best_epoch_and_the_curve_are_told(monkeypatch, asked, capsys, tmp_path: Path):
    (tmp_path / METRICS).parent.mkdir()
    log = "loss_epoch,loss_step,step,validation_aji\n,,9,0.5\n,,19,0.25\n"
    (tmp_path / METRICS).write_text(log)
    (tmp_path / CURVE_FILE).touch()
    assert run(monkeypatch, "small", "--data", "a", "-o", str(tmp_path)) == 0
    told = capsys.readouterr().out.splitlines()
    assert "best epoch       AJI 0.500 (validation, after 10 of 20 steps)" in told
    assert f"curve            {tmp_path / CURVE_FILE}" in told


def test_several_data_sets_are_passed_on(monkeypatch, asked):
    assert run(monkeypatch, "open", "--data", "a", "--data", "b") == 0
    assert asked[0][1] == [Path("a"), Path("b")]

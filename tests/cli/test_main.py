import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from nuguide import __version__
from nuguide.cli import main as program
from nuguide.errors import InputError

VERBS = ("segment", "info", "train", "evaluate", "models", "guides")

HEAVY = {
    "torch",
    "numpy",
    "cv2",
    "pyarrow",
    "transformers",
    "lightning",
    "pydantic",
    "scipy",
    "skimage",
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from nuguide.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )


@pytest.fixture
def verb(monkeypatch):
    """Return a decorator that makes a function the only verb of the program, and runs it."""

    def run_as_verb(function) -> int:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(function)
        app.callback()(lambda: None)
        monkeypatch.setattr(program, "app", app)
        monkeypatch.setattr(sys, "argv", ["nuguide", function.__name__])
        with pytest.raises(SystemExit) as end:
            program.main()
        return end.value.code

    return run_as_verb


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (("segment", "a.png", "-o", ""), " after -o"),
        (("segment", "a.png", "--out="), " after --out"),
        (("",), ""),
    ],
)
def test_an_empty_argument_is_no_folder(words: tuple[str, ...], after: str):
    result = run(*words)
    assert result.returncode == 2
    assert f"error: an empty argument{after}; expected a value" in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_assignment_of_nothing_is_no_empty_argument():
    result = run("train", "default", "--set", "name=", "--data", "none")
    assert "an empty argument" not in result.stderr


def test_help_names_every_verb():
    result = run("--help", COLUMNS="100")
    assert result.returncode == 0
    for name in VERBS:
        assert f" {name} " in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs the processor time of children")
def test_help_starts_quickly():
    times = []
    for _ in range(3):
        before = os.times()
        run("--help")
        after = os.times()
        times.append(
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
    # The mark is half a second on the clock; processor time does not count waiting for others.
    assert min(times) < 0.5


def test_nothing_heavy_is_imported_at_start():
    code = "import sys, nuguide.cli.main; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert "typer" in loaded
    assert not HEAVY & set(loaded)


def test_version():
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"nuguide {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [("segmnet",), ("--nonsense",), ("evaluate",), ("evaluate", "a", "b", "--split", "x")],
)
def test_wrong_usage_exits_with_two(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_help_and_usage_errors_are_plain_when_piped():
    result = run("--help", COLUMNS="200")
    assert result.stdout.isascii()
    assert run("segmnet").stderr.isascii()


def test_bad_input_is_one_line_on_stderr(verb, capsys):
    def fail():
        raise InputError("got this; expected that;\ndo something")

    assert verb(fail) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: got this; expected that; do something\n"
    assert captured.out == ""


def test_a_name_that_no_system_takes_is_one_line(verb, capsys):
    def look():
        Path("a" * 5000).is_dir()

    assert verb(look) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {'a' * 60}... is too long")


def test_ctrl_c_says_so(verb, capsys):
    def stop():
        raise KeyboardInterrupt

    assert verb(stop) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_verb_may_choose_its_exit_code(verb):
    def partly():
        raise typer.Exit(3)

    assert verb(partly) == 3


def test_a_bug_keeps_its_traceback(monkeypatch):
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def bug():
        raise ZeroDivisionError

    monkeypatch.setattr(program, "app", app)
    monkeypatch.setattr(sys, "argv", ["nuguide"])
    with pytest.raises(ZeroDivisionError):
        program.main()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_console_that_lacks_a_letter_gets_its_number(tmp_path):
    image = tmp_path / "\u7d30\u80de.png"
    Image.new("RGB", (64, 64), "white").save(image)
    result = run("info", str(image), "--mpp", "0.5", PYTHONIOENCODING="cp1252")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u7d30\\u80de.png" in result.stdout


def test_a_reader_that_leaves_early_is_no_error():
    command = f"'{sys.executable}' -c 'from nuguide.cli.main import main; main()' --help"
    result = subprocess.run(
        ["sh", "-c", f"{command} | true"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")

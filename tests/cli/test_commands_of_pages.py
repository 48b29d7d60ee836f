"""README and pages: every `nuguide ...` that they show is a command with these options."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from nuguide.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


_CODE = re.compile(r"^```\w*\n(.*?)^```|^((?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Return the commands in a page's code as words, less comments; ``\\`` lets a line go on."""
    code = "\n".join(filter(None, (each for pair in _CODE.findall(text) for each in pair)))
    lines = re.findall(r"^ *(nuguide .*)$", code.replace("\\\n", " "), re.MULTILINE)
    return [shlex.split(line.partition(" #")[0]) for line in lines]


def unknown(words: list[str]) -> list[str]:
    """Return what of a command there is not."""
    command = get_command(app)
    left = words[1:]
    while hasattr(command, "commands"):  # a group
        name, *left = left
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options = [word.partition("=")[0] for word in left if re.match(r"--?[a-z]", word)]
    return [option for option in options if option not in known | {"--help", "-h"}]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_there(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        assert unknown(words) == [], shlex.join(words)


def test_commands_are_found_and_wrong_ones_noticed() -> None:
    page = (
        "nuguide is\n    nuguide fields a \\\n      --sides 3  # --no\n\n"
        "```sh\nnuguide models lst\n```\n"
    )
    found = commands(page)
    assert found == [["nuguide", "fields", "a", "--sides", "3"], ["nuguide", "models", "lst"]]
    assert [unknown(words) for words in found] == [["--sides"], ["lst"]]
    assert sum(len(commands(page.read_text("utf-8"))) for page in PAGES) > 50

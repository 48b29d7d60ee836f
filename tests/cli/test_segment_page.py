"""docs/segment.md tells of all that `nuguide segment` can be asked for."""

import re
from pathlib import Path

from typer.main import get_command

from nuguide.cli.main import app

PAGE = (Path(__file__).resolve().parents[2] / "docs/segment.md").read_text(encoding="utf-8")


def test_the_page_tells_of_every_option_and_of_no_other():
    commands = get_command(app).commands
    known = {
        name
        for command in ("segment", "info")
        for option in commands[command].params
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    wanted = {
        name
        for option in commands["segment"].params
        for name in option.opts
        if name.startswith("--")
    }
    assert wanted - told - {"--out", "--help"} == set()  # told as -o
    assert told - known == set()

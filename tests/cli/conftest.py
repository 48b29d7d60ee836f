"""The program as a person runs it."""

import sys
from collections.abc import Callable

import pytest

from nuguide.cli.main import main


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `nuguide` with these arguments, and give exit code and both streams."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nuguide", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return (0 if code is None else int(code), *capsys.readouterr())

    return call

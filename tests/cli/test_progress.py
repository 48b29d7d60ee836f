import re
from pathlib import Path

import pytest

from nuguide.cli.progress import shown_progress
from nuguide.segmentation.batch import State

IMAGE = Path("folder/image.png")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
def test_a_bar_is_drawn_from_the_first_moment_to_the_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown_progress() as show:
        for done in range(4):
            show(State(IMAGE, done, 3, 500 * done))
    drawn = capsys.readouterr().err
    assert "image.png" in drawn
    assert "0/3" in drawn


@pytest.mark.usefixtures("terminal")
def test_the_bar_tells_nuclei_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        for done in range(4):
            show(State(IMAGE, done, 100, 500 * done))
    drawn = capsys.readouterr().err
    assert "1,500 nuclei" in drawn
    assert "regions/s" in drawn


@pytest.mark.usefixtures("terminal")
def test_brackets_in_a_name_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        show(State(Path("case[b].svs"), 0, 3, 0))
    assert "case[b].svs" in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)


def test_no_bar_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        show(State(IMAGE, 0, 3, 0))
        show(State(IMAGE, 1, 3, 7))
    assert capsys.readouterr() == ("", "")


def test_why_an_image_is_done_again_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as show:
        for done in range(3):
            show(State(IMAGE, done, 3, 0, "it was lost"))
    assert capsys.readouterr().err == "image.png: segmented again: it was lost\n"

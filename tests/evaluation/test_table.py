import io
import json

import pytest
from rich.console import Console

from nuguide.errors import OutputError
from nuguide.evaluation.evaluate import ImageScores, Scores, Summary
from nuguide.evaluation.table import (
    check_target,
    definition_lines,
    headline,
    score_table,
    write_json,
)

SCORES = Scores(
    summaries={
        "aji": Summary(0.61234, 0.05, 0.58, 0.64, 2, "what AJI is; mean over images"),
        "dice_foreground": Summary(0.8, 0.1, 0.7, 0.9, 2, "what Dice is; mean over images"),
    },
    images=(
        ImageScores("a", {"aji": 0.6, "dice_foreground": 0.7}),
        ImageScores("b", {"aji": 0.62468, "dice_foreground": 0.9}),
    ),
    model="fake",
    data="drawn",
    split="test",
)


def test_json_has_the_documented_shape(tmp_path):
    path = tmp_path / "scores.json"
    write_json(SCORES, path)
    got = json.loads(path.read_text())
    assert list(got) == ["scores", "images", "model", "data", "split"]
    assert got["scores"]["aji"] == {
        "mean": 0.61234,
        "std": 0.05,
        "low": 0.58,
        "high": 0.64,
        "n": 2,
        "definition": "what AJI is; mean over images",
    }
    assert got["images"][1] == {"name": "b", "aji": 0.62468, "dice_foreground": 0.9}
    assert (got["model"], got["data"], got["split"]) == ("fake", "drawn", "test")
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


@pytest.mark.parametrize("place", ["absent/scores.json", "file/scores.json", "."])
def test_a_place_that_cannot_hold_scores_is_refused_beforehand(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a file in a folder that exists"):
        check_target(tmp_path / place)


def test_json_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(SCORES, tmp_path / "absent" / "scores.json")


def test_headline_says_what_was_scored():
    assert headline(SCORES) == "fake on drawn, split test: means over 2 images"


def test_table_shows_mean_and_interval_plainly_when_piped():
    stream = io.StringIO()
    Console(file=stream, width=80).print(score_table(SCORES))
    text = stream.getvalue()
    assert "\x1b" not in text
    row = next(line for line in text.splitlines() if line.startswith("aji"))
    assert row.split() == ["aji", "0.612", "0.580", "to", "0.640", "0.050"]


def test_definitions_are_listed_one_a_line():
    assert definition_lines(SCORES) == [
        "aji              what AJI is; mean over images",
        "dice_foreground  what Dice is; mean over images",
    ]

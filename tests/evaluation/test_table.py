import io
from dataclasses import replace

import pytest
from rich.console import Console

from nuguide.evaluation import agreement
from nuguide.evaluation.record import ImageScores, Scores, Summary
from nuguide.evaluation.score import DEFINITIONS
from nuguide.evaluation.table import (
    definition_lines,
    headline,
    interval_line,
    rule_line,
    score_table,
    spread_of,
    title_of,
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


def test_headline_says_what_was_scored():
    assert headline(SCORES) == ("fake on drawn, split test, protocol standard: means over 2 images")


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


def test_the_interval_says_what_was_drawn():
    assert "over 2 images; 10,000 draws" in interval_line(SCORES)
    one_patient = tuple(replace(image, origin="p") for image in SCORES.images)
    one = replace(SCORES, images=one_patient)
    assert "no interval: one patient or slide" in interval_line(one)
    third = replace(SCORES.images[0], name="c", origin="q")
    two = replace(SCORES, images=(*one_patient, third))
    assert "over 2 patients or slides, each with all its images" in interval_line(two)


def test_one_image_has_neither_interval_nor_spread():
    alone = Summary(0.61, 0.0, 0.61, 0.61, 1, "what AJI is; mean over images")
    row = spread_of(replace(SCORES, images=SCORES.images[:1]), alone)
    assert row == ("-", "-")


def test_the_protocol_is_told_with_its_rules():
    assert "own resolution" in rule_line(SCORES)
    assert "256 x 256" in rule_line(replace(SCORES, protocol="released"))


def test_a_pooled_score_has_no_spread():
    stream = io.StringIO()
    pooled = replace(SCORES, summaries={"mpq_plus": Summary(0.5, None, 0.4, 0.6, 2, "pooled")})
    Console(file=stream, width=80).print(score_table(pooled))
    assert stream.getvalue().splitlines()[-1].split() == [
        "mpq_plus",
        "0.500",
        "0.400",
        "to",
        "0.600",
        "-",
    ]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("aji_plus", "AJI+"),
        ("pq_3", "PQ, type 3"),
        ("r2_1", "R2 of counts, type 1"),
        ("dq_unmasked", "DQ (F1 of detection), ambiguous areas scored"),
    ],
)
def test_titles(name: str, title: str):
    assert title_of(name) == title


def test_every_score_has_a_title():
    assert all(title_of(name) != name for name in (*DEFINITIONS, *agreement.DEFINITIONS))


def test_a_score_that_is_not_known_goes_by_its_own_name():
    assert title_of("pq_3") == "PQ, type 3"
    assert title_of("recall_3") == "recall_3"

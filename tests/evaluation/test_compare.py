import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from nuguide.errors import InputError
from nuguide.evaluation.compare import (
    compare,
    comparison_tables,
    reading_line,
    write_comparison,
)
from nuguide.evaluation.intervals import paired_difference

EASY_TO_HARD = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]


@pytest.fixture
def three(make_scores):
    """Return a reference, one a little better everywhere, one better or worse by turns."""
    better = [value + 0.01 + 0.001 * place for place, value in enumerate(EASY_TO_HARD)]
    mixed = [value + (-1) ** place * 0.05 for place, value in enumerate(EASY_TO_HARD)]
    return (
        make_scores(EASY_TO_HARD, model="reference"),
        make_scores(better, EASY_TO_HARD[::-1], model="better"),
        make_scores(mixed, model="mixed"),
    )


def test_a_difference_is_paired_by_image(three):
    comparison = compare(three, ["a.json", "b.json", "c.json"])
    aji = comparison.differences[0]["aji"]
    assert aji.interval == paired_difference(
        [image.scores["aji"] for image in three[1].images], EASY_TO_HARD
    )
    assert aji.interval.mean == pytest.approx(0.0135)
    assert (aji.reference, aji.other) == pytest.approx((0.55, 0.5635))
    # The spread between the images is 30 times the gain, and does not hide it.
    assert aji.reading == "higher"
    assert comparison.differences[1]["aji"].reading == "not told apart"
    back = compare([three[1], three[0]], ["b.json", "a.json"])
    assert back.differences[0]["aji"].reading == "lower"


def test_images_are_paired_by_name_not_by_place(three):
    reference, better, _ = three
    turned = replace(better, images=better.images[::-1])
    paired = compare([reference, turned], ["a", "b"]).differences[0]["aji"]
    assert paired.interval.mean == pytest.approx(0.0135)
    assert paired.reading == "higher"


def test_images_of_a_patient_are_drawn_together(three):
    def of_two(scores):
        images = (
            replace(image, origin=f"p{place // 4}") for place, image in enumerate(scores.images)
        )
        return replace(scores, images=tuple(images))

    comparison = compare([of_two(scores) for scores in three], ["a", "b", "c"])
    aji = comparison.differences[0]["aji"]
    assert (aji.interval.low, aji.interval.high) == pytest.approx((0.0115, 0.0155))
    assert aji.reading == "too few images"
    assert "bootstrap over 2 patients or slides" in reading_line(comparison)


def test_fewer_than_six_images_are_not_read(make_scores):
    few = [make_scores([0.5] * n) for n in (5, 6)]
    gains = [make_scores([0.6] * n) for n in (5, 6)]
    readings = [
        compare(pair, ["a", "b"]).differences[0]["aji"].reading
        for pair in zip(few, gains, strict=True)
    ]
    assert readings == ["too few images", "higher"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"protocol": "released"}, "b.json is of protocol 'released'; expected 'standard' as in a"),
        ({"split": "train"}, "b.json is of split 'train'; expected 'test' as in a"),
        ({"data_sha256": "e" * 64}, "b.json was scored on drawn with other pixels"),
    ],
)
def test_other_data_split_or_protocol_is_refused(change, complaint, three):
    with pytest.raises(InputError, match=complaint):
        compare([three[0], replace(three[1], **change)], ["a.json", "b.json"])


def test_another_set_of_images_is_refused(three):
    fewer = replace(three[1], images=three[1].images[:-1])
    with pytest.raises(InputError, match=r"holds 7 images .*'image 7' in only one of them"):
        compare([three[0], fewer], ["a.json", "b.json"])


def test_one_file_is_refused(three):
    with pytest.raises(InputError, match="expected two or more"):
        compare(three[:1], ["a.json"])


def test_a_file_given_twice_is_refused(three):
    with pytest.raises(InputError, match=r"a\.json is given twice"):
        compare(three, ["a.json", "b.json", "a.json"])


def test_models_of_one_name_are_told_apart_by_their_files(three):
    twins = [replace(scores, model="default") for scores in three]
    assert compare(twins, ["runs/a.json", "b.json", "c.json"]).names[0] == "default (a)"
    names = compare(twins, ["1/s.json", "2/s.json", "3/s.json"]).names
    assert names == ("default (1/s.json)", "default (2/s.json)", "default (3/s.json)")


def test_the_table_tells_the_direction(three):
    stream = io.StringIO()
    tables = comparison_tables(compare(three, ["a", "b", "c"]))
    Console(file=stream, width=120).print(*tables)
    text = stream.getvalue()
    assert "better minus reference" in text
    assert "mixed minus reference" in text
    row = next(line for line in text.splitlines() if line.startswith("aji"))
    assert row.split()[:4] == ["aji", "0.550", "0.564", "+0.014"]
    assert row.rstrip().endswith("higher")


def test_numbers_stay_whole_in_a_narrow_terminal(three):
    stream = io.StringIO()
    Console(file=stream, width=64).print(*comparison_tables(compare(three, ["a", "b", "c"])))
    text = stream.getvalue()
    assert "+0.012 to +0.015" in text
    assert "…" not in text


def test_json_holds_every_difference(three, tmp_path):
    path = tmp_path / "difference.json"
    write_comparison(compare(three, ["a", "b", "c"]), path)
    got = json.loads(path.read_text())
    assert (got["reference"], [other["name"] for other in got["others"]]) == (
        "reference",
        ["better", "mixed"],
    )
    aji = got["others"][0]["differences"]["aji"]
    assert aji["difference"]["mean"] == pytest.approx(0.0135)
    assert (aji["difference"]["n"], aji["reading"]) == (8, "higher")
    assert aji["definition"] == "what aji is"
    assert (got["unit"], got["n_units"], got["protocol"]) == ("image", 8, "standard")

import json
from pathlib import Path

import pytest

from nuguide.cli.compare import compare
from nuguide.errors import InputError, OutputError
from nuguide.evaluation.record import ImageScores, Scores, Summary, write_json


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write the scores of three models, each a little better than the one before."""
    paths = []
    for place, model in enumerate(("first", "second", "third")):
        values = [0.5 + 0.05 * image + 0.01 * place for image in range(7)]
        images = tuple(ImageScores(str(i), {"aji": value}) for i, value in enumerate(values))
        summary = Summary(sum(values) / 7, 0.1, 0.5, 0.8, 7, "what AJI is")
        paths.append(tmp_path / f"{model}.json")
        write_json(Scores({"aji": summary}, images, model, "drawn", "test"), paths[-1])
    return paths


def test_differences_are_printed_with_direction(files, capsys):
    compare(files)
    printed = capsys.readouterr().out
    assert "drawn, split test, 7 images" in printed
    assert "second minus first" in printed
    assert "third minus first" in printed
    rows = [line.split() for line in printed.splitlines() if line.startswith("aji")]
    assert rows[1] == ["aji", "0.650", "0.670", "+0.020", "+0.020", "to", "+0.020", "higher"]
    assert "\x1b" not in printed


def test_no_number_is_cut_in_a_pipe(tmp_path, capsys):
    names = ["a-model-with-a-rather-long-name-" + letter * 30 for letter in "ab"]
    for place, name in enumerate(names):
        images = (ImageScores("i", {"dice_foreground": 0.5 + place / 10}),)
        summary = Summary(0.5, 0, 0.5, 0.5, 1, "what Dice is")
        scores = Scores({"dice_foreground": summary}, images, name, "drawn", "test")
        write_json(scores, tmp_path / f"{place}.json")
    compare([tmp_path / "0.json", tmp_path / "1.json"])
    printed = capsys.readouterr().out
    assert "+0.100 to +0.100  too few images" in printed
    assert printed.count(names[1]) == 3


def test_files_are_written_on_request(files, tmp_path, capsys):
    places = {name: tmp_path / f"out.{name}" for name in ("json", "html", "svg")}
    compare(files, json=places["json"], html=places["html"], figure=places["svg"])
    assert len(json.loads(places["json"].read_text())["others"]) == 2
    assert "third minus first" in places["html"].read_text(encoding="utf-8")
    assert "<svg" in places["svg"].read_text(encoding="utf-8")
    assert capsys.readouterr().out.split()[-3:] == [str(path) for path in places.values()]


def test_a_figure_of_unknown_format_is_refused_before_the_work(tmp_path):
    with pytest.raises(OutputError, match=r"expected \.svg or \.png"):
        compare([tmp_path / "absent.json"], figure=tmp_path / "forest.jpg")


@pytest.mark.parametrize("option", ["json", "html", "figure"])
def test_no_input_is_replaced(files, tmp_path, option):
    link = tmp_path / "link.svg"
    link.hardlink_to(files[1])
    before = files[1].read_bytes()
    targets = [link] if option == "figure" else [files[1], link]
    for target in targets:
        with pytest.raises(OutputError, match="would replace what is read"):
            compare(files, **{option: target})
    assert files[1].read_bytes() == before


def test_two_results_do_not_share_a_file(files, tmp_path):
    with pytest.raises(OutputError, match=r"out\.x is named for two results"):
        compare(files, json=tmp_path / "out.x", html=tmp_path / "." / "out.x")
    assert not (tmp_path / "out.x").exists()


def test_a_file_that_is_missing_is_named(files, tmp_path):
    with pytest.raises(InputError, match=r"absent\.json cannot be read"):
        compare([*files, tmp_path / "absent.json"])

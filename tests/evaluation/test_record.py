import json
from dataclasses import replace

import pytest

from nuguide import __version__
from nuguide.errors import InputError, OutputError
from nuguide.evaluation.record import as_json, check_target, read_scores, write_json


def test_json_has_the_documented_shape(make_scores, tmp_path):
    path = tmp_path / "scores.json"
    write_json(make_scores([0.6, 0.625], [0.7, 0.9], model_sha256="m" * 64), path)
    got = json.loads(path.read_text())
    assert set(got["scores"]["aji"]) == {"mean", "std", "low", "high", "n", "definition"}
    assert got["scores"]["aji"]["mean"] == pytest.approx(0.6125)
    assert got["images"][1] == {"name": "image 1", "aji": 0.625, "dice_foreground": 0.9}
    assert (got["model"], got["data"], got["split"]) == ("one", "drawn", "test")
    assert (got["protocol"], got["nuguide"]) == ("standard", __version__)
    assert (got["model_sha256"], got["data_sha256"]) == ("m" * 64, "d" * 64)
    assert (got["interval"]["unit"], got["interval"]["n_units"]) == ("image", 2)
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_what_is_written_is_read_back(make_scores, tmp_path):
    scores = make_scores([0.6, 0.7, 0.8])
    images = tuple(replace(image, origin="p1") for image in scores.images[:2])
    scores = replace(scores, images=(*images, scores.images[2]))
    assert (scores.unit, scores.n_units) == ("origin", 2)
    path = tmp_path / "scores.json"
    write_json(scores, path)
    assert read_scores(path) == scores


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda got: got.pop("protocol"), "protocol: Field required"),
        (lambda got: got.update(images=[]), "images: List should have at least 1"),
        (lambda got: got["images"][1].pop("aji"), "image 1 lacks"),
        (lambda got: got["images"][1].pop("name"), "image 1 lacks"),
        (lambda got: got["images"][0].update(aji="high"), "image 0 has aji = 'high'"),
        (lambda got: got["images"][0].update(name="image 1"), "two images have one name"),
        (lambda got: got["images"][0].update(aji=float("nan")), r"images\.0\.aji"),
        (lambda got: got["scores"]["aji"].update(n=0), "scores.aji.n"),
        (lambda got: got["scores"].pop("aji"), "scores lack aji, which the images have"),
        (lambda got: got.update(surprise=1), "surprise is unknown"),
    ],
)
def test_a_file_of_another_form_is_refused(change, complaint, make_scores, tmp_path):
    got = json.loads(as_json(make_scores([0.6, 0.7])))
    change(got)
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(got))
    with pytest.raises(InputError, match=complaint) as caught:
        read_scores(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "{", "[]", "\xff"])
def test_what_is_no_json_is_refused(text, tmp_path):
    path = tmp_path / "scores.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="holds no scores"):
        read_scores(path)


def test_a_missing_or_huge_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(tmp_path / "absent.json")
    monkeypatch.setattr("nuguide.evaluation.record.MAX_BYTES", 10)
    (tmp_path / "huge.json").write_text(" " * 11)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_scores(tmp_path / "huge.json")


@pytest.mark.parametrize("place", ["absent/scores.json", "file/scores.json", "."])
def test_a_place_that_cannot_hold_scores_is_refused_beforehand(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="expected a file in a folder that exists"):
        check_target(tmp_path / place)


def test_an_ending_that_names_no_format_is_refused_beforehand(tmp_path):
    check_target(tmp_path / "forest.SVG", (".svg", ".png"))
    with pytest.raises(OutputError, match=r"ends in '.gif'; expected .svg or .png"):
        check_target(tmp_path / "forest.gif", (".svg", ".png"))


def test_json_that_cannot_be_written_is_one_clear_error(make_scores, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(make_scores([0.5]), tmp_path / "absent" / "scores.json")

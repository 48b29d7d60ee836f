"""The verb fields: what is drawn is a data set, which a model is scored on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(("a", "b")):
        rgb, _ = draw_tissue(700, 900, mpp=0.5, per_mm2=3000, seed=seed)
        write_tiled_tiff(folder / f"{name}.tif", rgb, mpp=0.5, compression="deflate")
    return folder


@pytest.fixture
def copied(slides: Path, tmp_path: Path) -> Path:
    for path in slides.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_fields_that_nobody_corrects_score_the_model_as_right(run: Run, copied: Path) -> None:
    code, out, _ = run("fields", copied, "-o", copied / "annotations", "-n", 2, "--side", 80)
    assert code == 0
    assert "a.tif: 2 of " in out
    assert " fields of 80 um, " in out
    scores = copied / "scores.json"
    code, _, err = run("evaluate", "default", copied, "--split", "all", "--json", scores)
    assert (code, err) == (0, "")
    told = json.loads(scores.read_text())
    assert [image["name"] for image in told["images"]] == ["a-1", "a-2", "b-1", "b-2"]
    assert told["scores"]["aji"]["mean"] > 0.97
    assert "aji_unmasked" not in told["scores"]
    assert told["scores"]["count_ratio"]["mean"] == pytest.approx(1.0, abs=0.02)


def test_what_is_there_stays_and_what_is_missing_is_drawn(run: Run, copied: Path) -> None:
    out = copied / "annotations"
    asked = ("fields", copied, "-o", out, "--side", 80, "--empty")
    assert run(*asked)[0] == 0
    drawn = {path.name: path.read_bytes() for path in out.iterdir()}
    ends = ("geojson", "fields.json")
    assert set(drawn) == {f"{slide}.{end}" for slide in "ab" for end in ends}
    kinds = {
        each["properties"]["classification"]["name"]
        for each in json.loads(drawn["a.geojson"])["features"]
    }
    assert kinds == {"Region*"}
    (out / "a.geojson").write_text("corrected")
    (out / "b.geojson").rename(out / "b.geojson.gz")
    code, told, _ = run(*asked)
    assert code == 0
    assert "b.geojson.gz was there" in told
    assert not (out / "b.geojson").exists(), "of two, the packed one is read by nobody"
    (out / "b.geojson.gz").unlink()
    code, told, _ = run(*asked)
    assert code == 0
    assert "a.tif: " in told
    assert "was there, and is left as it is" in told
    assert (out / "a.geojson").read_text() == "corrected"
    assert (out / "b.geojson").read_bytes() == drawn["b.geojson"]


def test_bad_input_is_one_line(run: Run, copied: Path) -> None:
    out = copied / "annotations"
    for words, said in (
        ((copied, "--side", 5), "expected 16 to 2000 um"),
        ((copied / "a.tif", "--no-tissue", "--roi", copied / "none.geojson"), "none.geojson"),
        ((copied / "missing.svs",), "missing.svs"),
    ):
        code, _, err = run("fields", *words, "-o", out)
        assert code == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert said in err
    (copied / "bad.tif").write_bytes(b"no picture")
    code, told, err = run("fields", copied, "-o", out, "--empty", "--side", 80)
    assert code == 3
    assert "bad.tif" in err
    assert "a.tif: 3 of " in told


def test_images_of_one_name_are_told_before_any_work(run: Run, copied: Path) -> None:
    other = copied / "other"
    other.mkdir()
    (other / "a.tif").write_bytes((copied / "a.tif").read_bytes())
    code, _, err = run("fields", copied / "a.tif", other / "a.tif", "-o", copied / "annotations")
    assert code == 2
    assert "several images are called a; expected names that differ" in err
    assert not (copied / "annotations").exists()


def test_more_fields_are_added_beside_those_there_are(run: Run, copied: Path) -> None:
    out = copied / "annotations"
    asked = ("fields", copied / "a.tif", "-o", out, "--side", 80)
    assert run(*asked, "-n", 2)[0] == 0
    drawn = (out / "a.geojson").read_bytes()
    before = json.loads((out / "a.fields.json").read_text())
    code, told, _ = run(*asked, "-n", 5, "--add")
    assert code == 0
    assert "2 of " in told
    assert "fields were there, 3 added, " in told
    assert (out / "a.geojson").read_bytes() == drawn, "somebody may have corrected it"
    after = json.loads((out / "a.fields.json").read_text())
    assert set(after["drawn"]) > set(before["drawn"])
    assert {**after, "drawn": 0} == {**before, "drawn": 0}
    added = json.loads((out / "added" / "a-3-5.geojson").read_text())["features"]
    names = [each["properties"].get("name") for each in added]
    assert names[:3] == ["field 3", "field 4", "field 5"]
    assert len(names) > 3, "nuclei to begin with"
    code, told, _ = run(*asked[:-2], "-n", 5, "--add")
    assert code == 0
    assert "5 of " in told
    assert "are left as they are" in told


def test_adding_tells_what_the_first_draw_has_settled(run: Run, copied: Path) -> None:
    out = copied / "annotations"
    asked = ("fields", copied / "a.tif", "-o", out, "--side", 60, "--empty", "--seed", 7)
    assert run(*asked, "-n", 2)[0] == 0
    _, told, _ = run(*asked, "-n", 3, "--add", "--no-tissue")
    assert "1 added of the same squares, whatever --seed, --no-tissue would say, in " in told
    assert json.loads((out / "a.fields.json").read_text())["seed"] == 7
    more = ("fields", copied / "a.tif", "-o", out, "--empty", "--add", "-n")
    _, told, _ = run(*more, 4)
    assert "1 added, in " in told
    _, told, _ = run(*more, 999)
    assert " added (fewer than 999), in " in told
    _, told, _ = run(*more, 999)
    assert "were there, and are left as they are (fewer than 999)" in told


def test_fields_are_added_to_what_they_are_part_of(run: Run, copied: Path) -> None:
    out = copied / "annotations"
    one = ("fields", copied / "a.tif", "-o", out, "--empty", "--add", "-n")
    assert run(*one, 2, "--side", 80)[0] == 0, "of a slide without fields they are drawn"
    code, _, err = run(*one, 4, "--side", 60)
    assert code == 2
    assert "has the side of a field in um 80, asked for is 60; expected the same" in err
    code, _, err = run(*one, 4, "--mpp", 0.4)
    assert code == 2
    assert "has the um/px 0.5, asked for is 0.4" in err
    (copied / "a.tif").write_bytes((copied / "b.tif").read_bytes())
    code, _, err = run(*one, 4)
    assert code == 2
    assert "has the image " in err
    (out / "a.fields.json").unlink()
    code, _, err = run(*one, 4)
    assert code == 2
    assert "a.fields.json cannot be read" in err
    assert not (out / "added").exists()

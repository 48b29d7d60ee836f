"""The verb count: what a run found, corrected by fields that somebody annotated."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue
from nuguide.cli.main import main

Run = Callable[..., tuple[int, str, str]]
Feature = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides, segmented, and five fields drawn of each."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "slides").mkdir()
    for seed, name in enumerate("ab"):
        rgb, _ = draw_tissue(700, 900, mpp=0.5, per_mm2=3000, seed=seed)
        write_tiled_tiff(folder / "slides" / f"{name}.tif", rgb, mpp=0.5, compression="deflate")
    for command in (
        ["segment", folder / "slides", "-o", folder / "out"],
        ["fields", folder / "slides", "-o", folder / "drawn", "-n", "5", "--side", "60"],
    ):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "argv", ["nuguide", *map(str, command)])
            with pytest.raises(SystemExit) as end:
                main()
        assert not end.value.code
    return folder


@pytest.fixture
def annotations(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "annotations"
    folder.mkdir()
    for path in (made / "drawn").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def corrected(path: Path, change: Callable[[int, Feature], Feature | None]) -> None:
    """Change the nuclei of a GeoJSON, numbered from 0; None takes one out."""
    content = json.loads(path.read_text())
    areas = [each for each in content["features"] if kind_of(each).startswith("Region")]
    nuclei = [each for each in content["features"] if each not in areas]
    changed = [change(number, nucleus) for number, nucleus in enumerate(nuclei)]
    content["features"] = areas + [each for each in changed if each is not None]
    path.write_text(json.dumps(content))


def kind_of(feature: Feature) -> str:
    return str(feature["properties"]["classification"]["name"])


def classified(feature: Feature, name: str) -> Feature:
    feature["properties"]["classification"] = {"name": name}
    return feature


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with path.open(newline="") as file:
        return {(row["image"], row["kind"]): row for row in csv.DictReader(file)}


def test_fields_that_nobody_corrected_say_what_the_run_says_and_are_warned_of(
    run: Run, made: Path, annotations: Path, tmp_path: Path
) -> None:
    table = tmp_path / "counts.csv"
    code, out, err = run("count", made / "out", annotations, "--csv", table)
    assert (code, err) == (0, "")
    assert "warning: every field holds just as many nuclei as were found in it" in out
    assert "nan" not in out
    assert all(line.split()[-1] == "-" for line in out.splitlines()[1:4])
    rows = rows_of(table)
    assert set(rows) == {(name, "nuclei") for name in ("a", "b", "all")}
    for row in rows.values():
        assert float(row["estimated"]) == pytest.approx(float(row["found"]))
        assert row["estimated_low"] == row["estimated_high"] == "", "no sample is as sure as that"
    assert int(rows["all", "nuclei"]["found"]) == sum(
        int(rows[name, "nuclei"]["found"]) for name in "ab"
    )
    found = json.loads((annotations / "a.fields.json").read_text())
    row = rows["a", "nuclei"]
    assert (int(row["fields"]), int(row["squares"])) == (5, len(found["squares"]))
    assert float(row["estimated_per_mm2"]) == pytest.approx(
        float(row["estimated"]) / found["tissue_mm2"], abs=0.01
    )


def test_missed_nuclei_are_counted_and_shares_told(
    run: Run, made: Path, annotations: Path, tmp_path: Path
) -> None:
    """The person finds a third fewer, of which every second is positive."""
    for name in "ab":
        corrected(
            annotations / f"{name}.geojson",
            lambda i, f: None if i % 3 == 2 else classified(f, ("Positive", "Negative")[i % 2]),
        )
    table = tmp_path / "counts.csv"
    code, out, _ = run("count", made / "out", annotations, "--csv", table)
    assert code == 0
    assert "warning" not in out
    assert "Positive, % of nuclei" in out
    rows = rows_of(table)
    row = rows["all", "nuclei"]
    ratio = int(row["annotated_in_fields"]) / int(row["found_in_fields"])
    assert 0.5 < ratio < 0.8
    assert float(row["estimated"]) == pytest.approx(ratio * float(row["found"]), rel=0.03)
    assert float(row["estimated_low"]) < float(row["estimated"]) < float(row["estimated_high"])
    alone = float(row["by_fields_alone_high"]) - float(row["by_fields_alone_low"])
    assert alone > float(row["estimated_high"]) - float(row["estimated_low"])
    share = rows["all", "Positive"]
    assert float(share["percent_of_nuclei"]) == pytest.approx(50, abs=12)
    assert share["found"] == "", "this run tells no positivity"


def test_what_is_vague_counts_on_neither_side(run: Run, made: Path, annotations: Path) -> None:
    for name in "ab":
        path = annotations / f"{name}.geojson"
        content = json.loads(path.read_text())
        fields = [each for each in content["features"] if kind_of(each) == "Region*"]
        vague = [json.loads(json.dumps(each)) for each in fields[:2]]
        content["features"] += [classified(each, "Ignore*") for each in vague]
        path.write_text(json.dumps(content))
    whole = run("count", made / "out", made / "drawn")[1].splitlines()[1].split()
    code, out, _ = run("count", made / "out", annotations)
    assert code == 0
    part = out.splitlines()[1].split()
    assert part[0] == whole[0] == "a"
    assert int(part[4]) < int(whole[4])
    assert part[4] == part[6], "found and annotated in the other fields are the same"


def test_a_missing_field_is_refused(run: Run, made: Path, annotations: Path) -> None:
    path = annotations / "b.geojson"
    content = json.loads(path.read_text())
    content["features"] = [
        each for each in content["features"] if each["properties"].get("name") != "field 2"
    ]
    path.write_text(json.dumps(content))
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "b.geojson lacks one of 5 fields, which begins at x " in err
    path.unlink()
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "b.geojson is missing" in err


def test_added_fields_count_once_they_are_annotated(
    run: Run, made: Path, annotations: Path
) -> None:
    more = ("fields", made / "slides", "-o", annotations, "-n", 7, "--add")
    assert run(*more)[0] == 0
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "a.geojson lacks one of 7 fields" in err
    assert "those of --add lie in added/" in err
    for name in "ab":
        whole = json.loads((annotations / f"{name}.geojson").read_text())
        added = json.loads((annotations / "added" / f"{name}-6-7.geojson").read_text())
        whole["features"] += added["features"]  # as QuPath exports the objects of both
        (annotations / f"{name}.geojson").write_text(json.dumps(whole))
    code, out, _ = run("count", made / "out", annotations)
    assert code == 0
    assert "14 of " in out
    assert "warning: every field holds just as many" in out, "none twice, none missing"


def test_fields_and_run_of_two_scales_are_refused(run: Run, made: Path, annotations: Path) -> None:
    path = annotations / "b.fields.json"
    path.write_text(path.read_text().replace('"mpp": 0.5', '"mpp": 0.25'))
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "was segmented at 0.5 um/px, the fields of" in err


def test_it_says_how_many_fields_more_certainty_takes(
    run: Run, made: Path, annotations: Path
) -> None:
    for name in "ab":
        corrected(annotations / f"{name}.geojson", lambda i, f: None if i % 5 == 2 else f)
    out = run("count", made / "out", annotations)[1]
    (line,) = (line for line in out.splitlines() if line.startswith("for all: "))
    assert "% by 10 fields; " in line
    assert "-n N --add" in line


def test_a_field_that_lost_a_corner_is_refused(run: Run, made: Path, annotations: Path) -> None:
    path = annotations / "b.geojson"
    content = json.loads(path.read_text())
    (field,) = (each for each in content["features"] if each["properties"].get("name") == "field 2")
    (x0, y0), (x1, y1) = (
        [pick(corner[axis] for corner in field["geometry"]["coordinates"][0]) for axis in (0, 1)]
        for pick in (min, max)
    )
    moved = [[x0 + 0.4, y0], [x1 + 0.4, y0], [x1 + 0.4, y1], [x0 + 0.4, y1], [x0 + 0.4, y0]]
    field["geometry"]["coordinates"] = [moved]
    path.write_text(json.dumps(content))
    assert run("count", made / "out", annotations)[0] == 0
    cut = [[x0, y0], [x1, y0], [x1, y1 - 30], [x1 - 30, y1], [x0, y1], [x0, y0]]
    field["geometry"]["coordinates"] = [cut]
    path.write_text(json.dumps(content))
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "b.geojson lacks one of 5 fields" in err


def test_a_slide_that_was_renamed_and_drawn_from_again_does_not_count_twice(
    run: Run, made: Path, annotations: Path
) -> None:
    for ending in ("geojson", "fields.json"):
        (annotations / f"c.{ending}").write_bytes((annotations / f"a.{ending}").read_bytes())
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "a.fields.json and c.fields.json are of the same slide" in err


def test_slides_that_nobody_corrected_or_that_have_no_frame_are_named(
    run: Run, made: Path, annotations: Path
) -> None:
    corrected(annotations / "b.geojson", lambda i, f: f if i % 3 else None)
    (annotations / "c.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (annotations / "._a.fields.json").write_bytes(b"\x00\x05\x16\x07")
    code, out, _ = run("count", made / "out", annotations)
    assert code == 0
    assert "warning: every field of a holds just as many nuclei as were found in it" in out
    assert "drawn at random: c.geojson" in out


def test_classes_that_only_some_nuclei_have_are_refused(
    run: Run, made: Path, annotations: Path
) -> None:
    path = annotations / "a.geojson"
    corrected(path, lambda i, f: classified(f, "Tumor") if i % 2 else f)
    code, _, err = run("count", made / "out", annotations)
    assert code == 2
    assert "whether a nucleus has a type; expected all or none to" in err


def test_folders_that_are_not_what_is_asked_for(run: Run, made: Path, annotations: Path) -> None:
    code, _, err = run("count", annotations, annotations)
    assert code == 2
    assert "holds no finished run" in err
    code, _, err = run("count", made / "out", made / "slides")
    assert code == 2
    assert "holds no file that ends in .fields.json" in err
    code, _, err = run("count", made / "out" / "a", annotations)
    assert code == 2
    assert "holds 0 finished runs of b" in err
    code, _, err = run("count", made / "out", annotations, "--csv", annotations / "a.geojson")
    assert code == 2
    assert "expected .csv" in err


def test_a_single_field_tells_nothing_of_how_fields_differ(
    run: Run, made: Path, tmp_path: Path
) -> None:
    one = tmp_path / "one"
    slides = made / "slides"
    assert run("fields", slides / "a.tif", "-o", one, "-n", 1, "--side", 60)[0] == 0
    code, _, err = run("count", made / "out", one)
    assert code == 2
    assert "a has 1 field of " in err
    assert "draw more with nuguide fields -n N --add" in err

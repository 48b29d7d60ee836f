"""The tables of README and pages, the results they are made of, the models in the package."""

import json
import runpy
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nuguide.evaluation.record import read_scores
from nuguide.models.registry import load_card

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def script(name: str) -> dict[str, Any]:
    """Run a script of the benchmarks, which finds its neighbours, up to its main()."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return runpy.run_path(str(BENCHMARKS / name))


ACCURACY, SPEED, SCALING, CALIBRATION, TOKENS, PRECISION, COUNTING, ROBUSTNESS, EXPECTATION = (
    script(f"{name}.py")
    for name in (
        *("accuracy", "speed", "scaling", "calibration", "tokens", "precision", "counting"),
        *("robustness", "expectation"),
    )
)
AGAIN = "run: python benchmarks/accuracy.py --data MoNuSeg2018 --data CoNSeP --data NuCLS"
SCORED = [(tissue, model) for tissue in ACCURACY["SETS"] for model in tissue.scored]


@pytest.mark.parametrize("page", ACCURACY["TABLES"], ids=lambda page: page.name)
def test_a_page_says_what_the_scores_say(page: Path, tmp_path: Path):
    text = page.read_text(encoding="utf-8")
    assert ACCURACY["updated"](page, text, ACCURACY["RESULTS"]) == text, AGAIN
    shutil.copytree(ACCURACY["RESULTS"], tmp_path / "results")
    for tissue, model in (("monuseg2018", "default"), ("consep", "broad")):
        path = tmp_path / f"results/{tissue}/{model}.json"
        content = json.loads(path.read_text())
        for summary in content["scores"].values():
            summary["mean"] += 0.01
        path.write_text(json.dumps(content))
    assert ACCURACY["updated"](page, text, tmp_path / "results") != text


def test_the_page_says_what_spoilt_images_scored():
    text = ROBUSTNESS["PAGE"].read_text(encoding="utf-8")
    report = json.loads(ROBUSTNESS["RESULTS"].read_text())
    again = "run: python benchmarks/robustness.py --page"
    assert ROBUSTNESS["updated"](text, report) == text, again
    assert report["model_sha256"] == load_card(report["model"]).sha256
    for found in report["sets"].values():
        assert list(found["ways"]) == list(ROBUSTNESS["SPOILT"])
        found["ways"]["grey"]["change"] += 0.01
    assert ROBUSTNESS["updated"](text, report) != text


def test_the_page_says_what_share_was_expected():
    text = EXPECTATION["PAGE"].read_text(encoding="utf-8")
    sets = json.loads(EXPECTATION["RESULTS"].read_text())
    assert EXPECTATION["updated"](text, sets) == text, "run: python benchmarks/expectation.py"
    assert {found["model_sha256"] for found in sets} == {load_card("default").sha256}
    sets[0]["grey"]["expected"] += 0.05
    assert EXPECTATION["updated"](text, sets) != text


def test_images_are_spoilt_as_they_are_said_to_be():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    ways = {way: spoil(rgb, 0.25) for way, spoil in ROBUSTNESS["SPOILT"].items()}
    same, mpp = ways.pop(ROBUSTNESS["AS_IT_IS"])
    assert (same == rgb).all()
    assert mpp == 0.25
    for way, (spoilt, told) in ways.items():
        assert spoilt.dtype == np.uint8
        if way.startswith("um/px told x "):
            assert told == 0.25 * float(way.rpartition(" ")[2])
            assert (spoilt == rgb).all()
        elif way.startswith("scanned at "):
            assert told == float(way.split()[2])
            assert spoilt.shape == (round(40 * 0.25 / told), round(60 * 0.25 / told), 3)
        else:
            assert told == 0.25
            assert spoilt.shape == rgb.shape
            assert (spoilt != rgb).any()
    dark = np.full((4, 4, 3), 127, np.uint8)
    assert ROBUSTNESS["stained"](dark, 0.5, 2.0)[0].max() < 64  # twice the density: half squared


def test_the_table_of_accuracy_has_all_scores():
    made = ACCURACY["table"](ACCURACY["RESULTS"])
    assert len(made.splitlines()) == 2 + len(ACCURACY["SHOWN"])


def test_readme_says_what_the_timings_say():
    text, found = (
        SPEED["README"].read_text(encoding="utf-8"),
        json.loads(SPEED["RESULTS"].read_text()),
    )
    assert SPEED["updated"](text, found) == text, "run: python benchmarks/speed.py"
    found["ratio"] += 10
    assert SPEED["updated"](text, found) != text


def test_the_page_on_scaling_says_what_was_measured(tmp_path: Path):
    text = SCALING["PAGE"].read_text(encoding="utf-8")
    assert SCALING["updated"](text, SCALING["RESULTS"]) == text, "run: python benchmarks/scaling.py"
    shutil.copytree(SCALING["RESULTS"], tmp_path / "results")
    path = tmp_path / "results/slide-memory-default.json"
    content = json.loads(path.read_text())
    content["rows"][0]["seconds"] *= 2
    path.write_text(json.dumps(content))
    assert SCALING["updated"](text, tmp_path / "results") != text


def test_the_table_of_tokens_says_what_was_measured():
    found = json.loads((BENCHMARKS / "results" / "tokens.json").read_text())
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text(encoding="utf-8")
    assert TOKENS["table"](found) in page, "run: python benchmarks/tokens.py, and put its table in"


def test_the_tables_of_whole_slides_say_what_was_measured():
    page = (BENCHMARKS.parent / "docs" / "results.md").read_text(encoding="utf-8")
    results = BENCHMARKS / "results"
    for model in ("stub", "default"):
        for row in json.loads((results / f"slide-memory-{model}.json").read_text())["rows"]:
            speed = row["seconds"] / row["tissue_mm2"]
            spent = row["stages"]
            shares = [
                f"{100 * spent[stage] / sum(spent.values()):.0f} %"
                for stage in ("read", "network", "instances", "export")
            ]
            cells = [f"{row['side']:,}", f"{row['tissue_mm2']:.1f}", f"{row['nuclei']:,}"]
            cells.append(f"{row['peak_mib']:.0f}")
            cells.append(f"{speed:.2f}" if model == "stub" else f"{speed:.1f}")
            assert f"| {' | '.join([*cells, *shares])} |" in page
    rows = json.loads((results / "slide-workers-default.json").read_text())["rows"]
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert (one["workers"], two["workers"], one["side"]) == (1, 2, two["side"])
        cells = [f"{one['side']:,}", f"{one['tissue_mm2']:.1f}", f"{one['nuclei']:,}"]
        cells += [f"{each['seconds'] / each['tissue_mm2']:.1f}" for each in (one, two)]
        gain = one["seconds"] / two["seconds"]
        assert f"| {' | '.join(cells)} | {gain:.2f} |" in page


def test_the_table_of_calibration_says_what_was_measured():
    text = CALIBRATION["PAGE"].read_text(encoding="utf-8")
    rows = json.loads(CALIBRATION["RESULTS"].read_text())
    assert CALIBRATION["updated"](text, rows) == text, "run: python benchmarks/calibration.py"
    for row in rows:
        card = load_card(row["model"])
        assert row["model_sha256"] == card.sha256, f"{row['model']} has changed"
        assert card.calibration is not None
    rows[0]["matched"] = 0.01
    assert CALIBRATION["updated"](text, rows) != text


def test_measuring_one_set_of_images_keeps_what_is_known_of_the_others():
    rows = json.loads(CALIBRATION["RESULTS"].read_text())
    second = [row for row in rows if row["images"] == CALIBRATION["TABLED"][1].title]
    assert CALIBRATION["merged"](rows, second) == rows
    fresh = [row | {"nuclei": 1} for row in rows if row["images"] == rows[0]["images"]]
    assert CALIBRATION["merged"](rows, fresh) == [*fresh, *rows[len(fresh) :]]


def test_growth_is_of_the_model_that_is_asked_for(monkeypatch):
    timed, found = [], {"nuclei": 3}

    def segment(*_, model: str = "default", out: Path) -> SimpleNamespace:
        timed.append(model)
        return SimpleNamespace(record={"found": found})

    monkeypatch.setattr("nuguide.segment", segment)
    growth = script("pipeline.py")["growth"]
    assert [point["nuclei"] for point in growth((1e-4, 4e-4), 2, "guided")["points"]] == [3, 3]
    assert timed == ["guided"] * 4
    found["nuclei"] = 0
    with pytest.raises(SystemExit, match="found no nucleus"):
        growth((1e-4,), 1, "default")


def test_an_export_is_timed_with_what_goes_on_beside_its_reading(monkeypatch, tmp_path: Path):
    export = script("export.py")
    fragments = export["made"](7, tmp_path)

    def write(pieces, path: Path) -> None:
        packing = threading.Thread(target=time.sleep, args=(0.3,))
        packing.start()
        path.write_text(str(sum(piece.num_rows for piece in pieces)))
        packing.join()

    monkeypatch.setitem(export["EXPORTS"], "slow", write)
    row = export["measured"]("slow", fragments)
    assert row["seconds"] >= 0.3
    assert row["peak_mib"] > 0


def test_the_table_of_precision_says_what_was_measured():
    text = PRECISION["PAGE"].read_text(encoding="utf-8")
    rows = json.loads(PRECISION["RESULTS"].read_text())
    assert PRECISION["updated"](text, rows) == text, "run: python benchmarks/precision.py"
    assert len(rows) == 2 * len(PRECISION["MODELS"])
    for row in rows:
        assert row["model_sha256"] == load_card(row["model"]).sha256, f"{row['model']} has changed"
    rows[0]["aji"]["difference"] += 0.01
    assert PRECISION["updated"](text, rows) != text


def test_the_table_of_counts_says_what_was_drawn():
    text = COUNTING["PAGE"].read_text(encoding="utf-8")
    rows = json.loads(COUNTING["RESULTS"].read_text())
    assert COUNTING["updated"](text, rows) == text, "run: python benchmarks/counting.py"
    for row in rows:
        assert row["model_sha256"] == load_card(row["model"]).sha256, f"{row['model']} has changed"
    rows[0]["both_bias"] += 0.01
    assert COUNTING["updated"](text, rows) != text


def test_fields_drawn_of_a_slide_are_as_the_benchmark_says():
    random = np.random.default_rng(0)
    true = random.poisson(12, (60, 1)).astype(float)
    row = COUNTING["of_draws"](COUNTING["Slide"](true, np.floor(true / 2)), 0, 10)
    assert row["found"] < 0.55 * row["true"]
    assert abs(row["both_bias"]) < 0.01
    assert row["both_rms_error"] < row["fields_alone_rms_error"]
    assert 0.9 < row["both_coverage"] < 0.98


def test_a_study_costs_what_the_formula_says():
    inputs = SCALING["Inputs"](
        s_per_mm2=9.0,
        threads=2,
        cores=10,
        slides=1000,
        tissue_mm2=100.0,
        nuclei_per_mm2=5000.0,
        bytes_per_nucleus=1000.0,
        price_per_core_hour=0.1,
        efficiency=0.5,
    )
    assert SCALING["estimate"](inputs) == {
        "core_hours": 1000.0,  # 1,000 slides of 100 mm2, 9 s each on 2 cores at half speed
        "hours": 100.0,
        "terabytes": 0.5,
        "money": 100.0,
        "money_per_slide": 0.1,
    }


@pytest.mark.parametrize(("tissue", "model"), SCORED)
def test_the_scores_are_of_the_model_inside_the_package(tissue, model: str):
    scores = read_scores(tissue.file(ACCURACY["RESULTS"], model))
    assert scores.model_sha256 == load_card(model).sha256, f"{model} has changed; {AGAIN}"
    n_images = {
        ("monuseg2018", "test"): 14,
        ("consep", "test"): 14,
        ("nucls", "all"): 15,
        ("nucls", "test"): 5,
    }
    assert (scores.protocol, scores.split) == ("standard", tissue.split)
    assert len(scores.images) == n_images[tissue.name, tissue.split]


@pytest.mark.parametrize("model", ACCURACY["MODELS"])
def test_the_card_says_what_the_scores_say(model: str):
    card = load_card(model)
    assert ACCURACY["with_scores"](card, ACCURACY["RESULTS"]) == card, AGAIN
    told = {each.on_card for each in ACCURACY["SETS"] if model in each.scored} - {""}
    assert told <= {score.data for score in card.scores}


@pytest.mark.parametrize(("tissue", "model"), SCORED)
def test_the_means_are_those_of_the_images(tissue, model: str):
    scores = read_scores(tissue.file(ACCURACY["RESULTS"], model))
    for name, summary in scores.summaries.items():
        if summary.std is None:  # pooled over the images
            continue
        values = [image.scores[name] for image in scores.images]
        assert summary.mean == pytest.approx(np.mean(values))
        assert summary.std == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize("page", ACCURACY["TABLES"], ids=lambda page: page.name)
def test_a_page_without_the_marks_is_refused(page: Path):
    with pytest.raises(SystemExit, match="put the two marks in again"):
        ACCURACY["updated"](page, "no table here", ACCURACY["RESULTS"])

import json
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import cv2
import numpy as np
import pyarrow as pa
import pytest

from fixtures.replicas import write_qupath
from nuguide.cli import evaluate as verb
from nuguide.datasets.base import Split
from nuguide.errors import DataSetError, OutputError, ResolutionError
from nuguide.evaluation.protocols import PROTOCOLS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a data set of two images; the red channel of each is its label map."""
    root = tmp_path / "tissue"
    for name, n_nuclei in (("a", 2), ("b", 3)):
        labels = np.zeros((16, 24), np.uint8)
        for number in range(n_nuclei):
            labels[2:8, 7 * number + 1 : 7 * number + 7] = number + 1
        blank = np.zeros_like(labels)
        for part, picture in (("images", cv2.merge([blank, blank, labels])), ("masks", labels)):
            (root / part).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(root / part / f"{name}.png"), picture)
    return root


@pytest.fixture(autouse=True)
def model_that_misses_the_first_nucleus(monkeypatch):
    def segment_array(rgb, mpp, model):
        assert mpp == 0.5
        labels = rgb[..., 0].astype(np.int32)
        nuclei = pa.table({"type": ["Tumor"] * 255})
        found = np.where(labels == 1, 0, labels)
        return SimpleNamespace(labels=found, nuclei=nuclei, card=model.card)

    card = SimpleNamespace(name="fake", sha256="f" * 64, classes=("nucleus",), types=())
    model = SimpleNamespace(card=card, backend="torch", precision="float32", views=1)
    monkeypatch.setattr("nuguide.models.registry.load", lambda name: model)
    monkeypatch.setattr("nuguide.segmentation.run.on_device", lambda model, device: model)
    monkeypatch.setattr("nuguide.evaluation.prediction.segment_array", segment_array)
    return card


def test_splits_are_those_of_the_data_sets():
    assert set(get_args(verb.Split)) == set(get_args(Split))


def test_protocols_are_those_of_the_evaluation():
    assert set(get_args(verb.Protocol)) == set(PROTOCOLS)


@pytest.mark.parametrize("option", ["json", "html"])
def test_no_image_is_replaced_by_scores(folder, option):
    image = folder / "images" / "a.png"
    before = image.read_bytes()
    with pytest.raises(OutputError, match="would replace what is read"):
        verb.evaluate("fake", folder, split="all", mpp="0.5", **{option: image})
    assert image.read_bytes() == before


def test_no_card_is_replaced_by_scores(folder, tmp_path):
    card = tmp_path / "model.toml"
    card.touch()
    with pytest.raises(OutputError, match="would replace what is read"):
        verb.evaluate(str(tmp_path), folder, split="all", mpp="0.5", json=card)


def test_scores_in_the_folder_of_the_data_may_be_replaced(folder):
    for _ in range(2):
        verb.evaluate("fake", folder, split="all", mpp="0.5", json=folder / "scores.json")
    assert json.loads((folder / "scores.json").read_text())["data"] == "tissue"


def test_scores_are_printed_and_written(folder, tmp_path, capsys):
    target = tmp_path / "scores.json"
    verb.evaluate("fake", folder, split="all", mpp="0.5", json=target)
    got = json.loads(target.read_text())
    assert (got["model"], got["data"], got["split"]) == ("fake", "tissue", "all")
    assert [image["name"] for image in got["images"]] == ["a", "b"]
    # One of two found, two of three found.
    assert got["scores"]["dq"]["mean"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert got["scores"]["sq"]["mean"] == 1
    captured = capsys.readouterr()
    printed = captured.out
    assert captured.err == ""
    assert "fake on tissue, split all, protocol standard: means over 2 images" in printed
    assert (got["model_sha256"], len(got["data_sha256"])) == ("f" * 64, 64)
    assert got["scores"]["dq"]["definition"] in printed
    assert "\x1b" not in printed


def test_another_decoding_is_told_with_the_name(folder, tmp_path, monkeypatch):
    asked = []

    def with_decoding(model, changes):
        asked.append(changes)
        return model

    monkeypatch.setattr("nuguide.models.decoding_choice.with_decoding", with_decoding)
    path = tmp_path / "scores.json"
    changes = ["min_area_um2=5", "prominence=0.3"]
    verb.evaluate("fake", folder, split="all", mpp="0.5", decoding=changes, json=path)
    assert asked == [{"min_area_um2": 5.0, "prominence": 0.3}]
    assert json.loads(path.read_text())["model"] == "fake min_area_um2=5 prominence=0.3"


@pytest.mark.parametrize(
    ("said", "scored"),
    [
        (("Stroma", "Tumor"), True),
        (("Tumor", "Stroma"), False),
        (("Tumor", "Stroma", "other"), False),
    ],
)
def test_types_are_scored_where_model_and_data_mean_the_same(
    said, scored, tmp_path, capsys, model_that_misses_the_first_nucleus
):
    card = model_that_misses_the_first_nucleus
    card.classes = card.types = said
    write_qupath(tmp_path)
    verb.evaluate("fake", tmp_path, split="all", mpp="0.5", json=tmp_path / "scores.json")
    got = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert ("mpq_plus" in got) == scored
    assert "aji" in got
    told = f"types are not scored: the model tells {', '.join(said)} apart"
    assert (told in capsys.readouterr().out) != scored


def test_a_page_is_written(folder, tmp_path, capsys):
    page = tmp_path / "scores.html"
    verb.evaluate("fake", folder, split="all", mpp="0.5", html=page)
    assert "fake on tissue" in page.read_text(encoding="utf-8")
    assert capsys.readouterr().out.rstrip().endswith(str(page))


@pytest.mark.parametrize("option", ["json", "html"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(option, folder, tmp_path):
    with pytest.raises(OutputError, match="folder that exists"):
        verb.evaluate("absent", folder, **{option: tmp_path / "absent" / "scores"})


def test_a_scale_that_is_no_number_is_refused(folder):
    with pytest.raises(ResolutionError, match="--mpp says 'fine' um/px"):
        verb.evaluate("fake", folder, split="all", mpp="fine")


def test_missing_data_is_refused(tmp_path):
    with pytest.raises(DataSetError):
        verb.evaluate("fake", tmp_path / "absent")

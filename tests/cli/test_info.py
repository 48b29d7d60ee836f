import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fixtures.slides import write_aperio
from fixtures.tissue import draw_tissue
from nuguide.cli.main import main
from nuguide.models.card import Card
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.networks.registry import build_network

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    options = {"width": 2, "heads": ("nuclei", "distance")}
    card = Card(
        name="small",
        version="0",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        network={"architecture": "unet", "options": options},
        sha256="0" * 64,
    )
    folder = tmp_path_factory.mktemp("model")
    save_model(Model(build_network("unet", **options).eval(), None, card), folder)
    return folder


@pytest.fixture(scope="module")
def svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write tissue on the left of a slide of 640 x 1280 um, at 1 um/px."""
    slide = np.full((640, 1280, 3), 243, np.uint8)
    slide[:, :384] = np.tile(draw_tissue(128, 128, mpp=1.0)[0], (5, 3, 1))
    return write_aperio(tmp_path_factory.mktemp("slide") / "left.svs", slide, mpp=1.0, power=10)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        words = ["nuguide", "info", *map(str, arguments), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def test_json_tells_a_script_all(run: Run, svs: Path) -> None:
    code, out, _ = run(svs, "--json", "--no-estimate")
    assert code == 0
    facts = json.loads(out)
    assert (facts["width_px"], facts["height_px"]) == (1280, 640)
    assert (facts["width_um"], facts["height_um"]) == (1280.0, 640.0)
    assert (facts["mpp"], facts["mpp_source"]) == (1.0, "openslide.mpp")
    assert (facts["format"], facts["objective_power"]) == ("aperio", 10.0)
    assert [level["mpp"] for level in facts["levels"]] == [1.0, 4.0]
    assert facts["tissue_mm2"] == pytest.approx(0.384 * 0.64, rel=0.08)
    # At 0.5 um/px the slide is 3 x 2 regions of 1024 px; the tissue lies in the first column.
    assert (facts["regions"], facts["regions_in_plan"]) == (2, 6)
    assert "estimated_seconds" not in facts


def test_the_time_is_an_estimate_and_called_one(
    run: Run, svs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.segmentation.preview.segment_region", lambda task, model: None)
    code, out, _ = run(svs)
    assert code == 0
    for words in ("left.svs", "1,280 x 640 px", "1.28 mm x 640 um", "1 um/px, from openslide"):
        assert words in out
    assert "2 of 6 hold tissue" in out
    assert "estimated from 1 region)" in out


def test_a_picture_is_no_whole_slide(run: Run, tmp_path: Path) -> None:
    import imageio.v3

    path = tmp_path / "field.png"
    imageio.v3.imwrite(path, draw_tissue(128, 128)[0])
    code, out, _ = run(path, "--mpp", "0.25", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["regions"], facts["tissue_mm2"], facts["mpp_source"]) == (1, None, "--mpp")
    assert facts["estimated_seconds"] > 0
    assert facts["estimated_from_regions"] == 1


def test_a_scale_from_the_objective_is_warned_of(run: Run, tmp_path: Path) -> None:
    glass = np.full((600, 600, 3), 243, np.uint8)
    path = write_aperio(tmp_path / "glass.svs", glass, mpp=None, power=20)
    code, out, _ = run(path)
    assert code == 0
    assert "warning: glass.svs tells no microns per pixel" in " ".join(out.split())
    assert "none: there is nothing to segment" in out


def test_an_estimated_scale_is_called_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import imageio.v3

    path = tmp_path / "field.png"
    imageio.v3.imwrite(path, draw_tissue(128, 128)[0])
    code, _, err = run(path, "--no-estimate")
    assert code == 2
    assert "--mpp estimate" in err
    code, _, err = run(path, "--mpp", "estimate", "--no-estimate")
    assert code == 2
    assert "too few nuclei" in err
    monkeypatch.setattr("nuguide.segmentation.estimate.consistent_mpp", lambda looks: 0.31)
    code, out, _ = run(path, "--mpp", "estimate", "--no-estimate")
    words = " ".join(out.split())
    assert code == 0
    assert "0.31 um/px, from estimate from nucleus size" in words
    assert "warning: field tells no microns per pixel" in words


def test_no_slide_is_bad_input(run: Run, tmp_path: Path) -> None:
    code, out, err = run(tmp_path / "absent.svs")
    assert (code, out) == (2, "")
    assert "does not exist" in err


def test_of_an_image_too_coarse_to_segment_all_else_is_told(run: Run, svs: Path) -> None:
    code, out, err = run(svs, "--json", "--mpp", 8)
    facts = json.loads(out)
    assert (code, err, facts["mpp"]) == (0, "", 8)
    assert any("16 times the model's 0.5" in warning for warning in facts["warnings"])
    assert "estimated_seconds" not in facts

import sys
from pathlib import Path

import numpy as np
import pytest

from nuguide import segment
from nuguide.cli import main as program
from nuguide.evaluation import calibration as room
from nuguide.evaluation.calibration import Judged
from nuguide.models.registry import export_model, load, load_card

SEEN = Judged(
    np.tile([0.6, 0.9], 200),
    np.tile([False, True, True, True], 100),
    np.arange(400) % 4,
    np.arange(400) % 4,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Export the default model, and judge it by nuclei that are made up."""
    export_model("default", tmp_path / "model")
    monkeypatch.setattr(room, "judged", lambda model, samples: SEEN)
    monkeypatch.setattr("nuguide.datasets.opening.open_dataset", lambda *_: [])
    return tmp_path / "model"


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["nuguide", "calibrate", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        program.main()
    return end.value.code


def test_the_card_gets_the_calibration_and_nuclei_their_probability(
    folder: Path, monkeypatch, capsys, tmp_path: Path
):
    figure = tmp_path / "reliability.svg"
    assert run(monkeypatch, folder, "somewhere", "--figure", figure) == 0
    said = capsys.readouterr().out
    assert "400 nuclei in 4 images, of which 75.0 % match" in said
    assert "Measured on the images that it was fitted to" in said
    assert figure.stat().st_size > 1000
    calibration = load_card(folder).calibration
    assert calibration.data == "somewhere validation, 4 images"
    assert calibration.probability(np.array([0.6, 0.9])) == pytest.approx([0.5, 1.0], abs=0.02)

    image = np.full((200, 200, 3), 240, np.uint8)
    image[60:90, 60:90] = (90, 60, 150)
    nuclei = segment(image, 0.25, model=load(folder)).nuclei
    assert nuclei.num_rows > 0
    np.testing.assert_allclose(
        nuclei["match_probability"], calibration.probability(nuclei["confidence"].to_numpy())
    )


def test_no_image_is_replaced_by_a_figure(folder: Path, monkeypatch, capsys, tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.png").write_text("an image")
    assert run(monkeypatch, folder, "somewhere", data, "--figure", data / "a.png") == 2
    assert "would replace what is read" in capsys.readouterr().err
    assert (data / "a.png").read_text() == "an image"


def test_a_check_changes_nothing(folder: Path, monkeypatch, capsys):
    before = (folder / "model.toml").read_bytes()
    assert run(monkeypatch, folder, "somewhere", "--split", "test", "--check") == 0
    assert (folder / "model.toml").read_bytes() == before
    assert "fitted to" not in capsys.readouterr().out


def test_a_model_inside_the_package_is_only_checked(folder: Path, monkeypatch, capsys):
    assert run(monkeypatch, "default", "somewhere") == 2
    assert "nuguide models export default -o FOLDER" in capsys.readouterr().err
    assert run(monkeypatch, "default", "somewhere", "--check") == 0

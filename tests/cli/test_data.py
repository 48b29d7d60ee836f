import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fixtures.replicas import write_conic, write_folder, write_picture
from nuguide.cli.data import app
from nuguide.errors import DataSetError, ResolutionError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "tissue")
    return tmp_path / "tissue"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)], catch_exceptions=False)


def test_a_sound_data_set_is_named_counted_and_drawn(folder: Path):
    result = run(folder, "--mpp", "0.5")
    assert result.exit_code == 0, result.output
    for word in ("folder of images and masks", "64 x 64 (4)", "validation", "all", "24"):
        assert word in result.output
    assert "patients unknown (1)" in result.output
    assert "folder of images and masks can be used" in result.output
    assert (folder.parent / "checks" / "tissue" / "contact_sheet.png").is_file()


def test_a_fault_is_told_and_the_exit_code_is_2(folder: Path, tmp_path: Path):
    (folder / "masks" / "a.tif").write_bytes(b"[bold]")
    result = run(folder, "--mpp", "0.5", "--out", tmp_path / "sheet")
    assert result.exit_code == 2
    assert "error  cannot be read (1)" in result.output
    assert "a.tif is missing or no picture; expected a label map" in result.output
    assert "cannot be used until its errors are gone" in result.output
    assert (tmp_path / "sheet" / "contact_sheet.png").is_file()


def test_json_holds_every_image_and_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_conic(tmp_path / "conic")
    result = run(tmp_path / "conic", "--json")
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert (values["name"], values["usable"]) == ("conic", True)
    assert len(values["images"]) == 18
    assert set(values["counts"]["part"]) == {"fit", "validation", "test"}
    assert {"severity", "problem", "file", "text"} == set(values["findings"][0])


def test_json_has_no_nan(folder: Path):
    write_picture(folder / "masks" / "a.tif", np.zeros((64, 64), np.uint16))
    result = run(folder, "--mpp", "0.5", "--json")
    values = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(word))
    assert values["images"][0]["diameter_um"] is None


def test_what_is_no_data_set_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(ResolutionError, match="--mpp"):
        run(folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("x")
    with pytest.raises(DataSetError, match=r"holds x\.txt, which is no data set known here"):
        run(tmp_path / "notes")


def test_the_command_imports_nothing_heavy() -> None:
    script = (
        "import sys, nuguide.cli.data\n"
        "print([m for m in ('torch', 'numpy', 'cv2', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

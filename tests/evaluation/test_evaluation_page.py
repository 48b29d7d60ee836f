"""docs/evaluation.md does what it says."""

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data, filters, measure
from typer.testing import CliRunner

from nuguide.cli.main import app
from nuguide.evaluation import agreement, types
from nuguide.evaluation.protocols import PROTOCOLS
from nuguide.evaluation.score import DEFINITIONS

PAGE = Path(__file__).resolve().parents[2] / "docs/evaluation.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def tissue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the data set of the page in a folder to work in: two cuttings of real tissue."""
    rgb = data.immunohistochemistry()
    for part in ("images", "masks"):
        (tmp_path / "tissue" / part).mkdir(parents=True)
    for name, corner in (("a", 0), ("b", 300)):
        image = np.ascontiguousarray(rgb[corner : corner + 128, corner : corner + 128])
        dark = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        labels = measure.label(dark < filters.threshold_otsu(dark)).astype(np.uint16)
        for part, picture in (("images", image[..., ::-1]), ("masks", labels)):
            assert cv2.imwrite(str(tmp_path / "tissue" / part / f"{name}.png"), picture)
    monkeypatch.chdir(tmp_path)


def test_the_commands_run_and_the_file_has_the_form_that_is_shown(tissue: None) -> None:
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    for name in ("default.html", "difference.html", "difference.svg"):
        assert Path(name).stat().st_size > 10_000
    got = json.loads(Path("default.json").read_text())
    (text,) = blocks("json")
    shown = json.loads(text)
    assert got.keys() == shown.keys()
    assert got["interval"].keys() == shown["interval"].keys()
    assert got["scores"]["aji"].keys() == shown["scores"]["aji"].keys()
    assert {"name", *DEFINITIONS} == got["images"][0].keys()


def test_the_python_runs() -> None:
    names: dict[str, object] = {}
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        exec(block, names)


def test_every_score_and_protocol_stands_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (*DEFINITIONS, *agreement.DEFINITIONS, *types.DEFINITIONS, *PROTOCOLS):
        assert f"`{name}`" in text

"""docs/outputs.md: its columns are the table's, its commands and its Python run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from nuguide.cli.main import app
from nuguide.nuclei.schema import SCHEMA

PAGE = (Path(__file__).resolve().parents[2] / "docs/outputs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def segmented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the page's command on two cuttings of real tissue, in a folder to work in."""
    (tmp_path / "images").mkdir()
    for name, corner in (("a", 0), ("b", 250)):
        cutting = data.immunohistochemistry()[corner : corner + 256, corner : corner + 256]
        Image.fromarray(cutting).save(tmp_path / "images" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    (command,) = blocks("sh")
    result = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_every_column_stands_on_the_page() -> None:
    rows = ["| column | unit | what |", "|---|---|---|"]
    for column in SCHEMA:
        unit, what = (column.metadata[key].decode() for key in (b"unit", b"description"))
        rows.append(f"| `{column.name}` | {unit} | {what} |")
    (shown,) = re.findall(r"<!-- columns: .*? -->\n(.*?)\n<!-- columns: end -->", PAGE, re.DOTALL)
    assert shown == "\n".join(rows)


def test_the_python_runs(segmented: None) -> None:
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, names)
    nuclei, likely = names["nuclei"], names["likely"]
    assert nuclei.num_rows > likely.num_rows > 20
    assert names["by_image"]["image"].to_pylist() == ["a", "b"]
    assert likely.num_rows / 2 < names["expected"] < nuclei.num_rows
    assert len(names["nearest_um"]) == names["labels"].max() == len(names["found"]["label"])
    # Cuttings of 64 um: all nuclei are in one square of 100 um.
    assert names["per_100um_square"].sum() == names["per_100um_square"][0, 0]
    assert np.all(names["nearest_um"] > 0)
    assert 0 < names["inside"].sum() < len(names["outlines"])

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nuguide.cli.guides import app
from nuguide.errors import GuideError
from nuguide.guides import registry
from nuguide.guides.registry import GUIDES, GuideEntry, Layout


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_list_shows_every_guide() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    assert all(name in result.output for name in [*GUIDES, "none"])


def test_add_stores_and_says_that_the_weights_are_other_ones(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import SamVisionConfig, SamVisionModel

    config = SamVisionConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=32, mlp_dim=8,
        global_attn_indexes=[0],
    )  # fmt: skip
    torch.save(SamVisionModel(config).state_dict(), cache / "tiny.pth")
    entry = GuideEntry("tiny", "", "CC0", Layout.SAM, (8,), (), sha256="0" * 64)
    monkeypatch.setitem(registry.GUIDES, "tiny", entry)
    result = CliRunner().invoke(app, ["add", "tiny", "--from", str(cache / "tiny.pth")])
    assert result.exit_code == 0, result.output
    assert "licence of the weights: CC0" in result.output
    assert "not the weights that nuguide's figures were made with" in result.output
    assert (cache / "guides/tiny.safetensors").is_file()
    assert "yes, " in CliRunner().invoke(app, ["list"]).output


def test_unknown_guide_raises_the_one_kind_of_error() -> None:
    result = CliRunner().invoke(app, ["add", "tinyvit"])
    assert isinstance(result.exception, GuideError)


def test_nothing_heavy_is_imported_to_list() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom nuguide.cli.guides import app\n"
        "assert CliRunner().invoke(app, ['list']).exit_code == 0\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

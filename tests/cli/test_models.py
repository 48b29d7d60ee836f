import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nuguide.cli.models import app
from nuguide.errors import ModelError, OutputError
from nuguide.models import registry
from nuguide.models.card import Card
from nuguide.models.checkpoint import CARD_FILE, WEIGHTS_FILE, save_model
from nuguide.models.model import Model
from nuguide.networks.registry import build_network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small model with a score."""
    monkeypatch.setenv("COLUMNS", "250")
    score = {"name": "aji", "value": 0.5612, "low": 0.52, "high": 0.6, "n": 14}
    card = Card(
        name="tiny",
        version="1",
        description="A [bold] small network",
        licence="CC0-1.0",
        mpp=0.5,
        network={"architecture": "unet", "options": {"width": 2}},
        scores=({**score, "definition": "mean over images", "data": "somewhere"},),
        training_data=(
            {"name": "set", "licence": "MIT", "split": "train", "n_images": 3, "citation": "A, B"},
        ),
        sha256="0" * 64,
    )
    save_model(Model(build_network("unet", width=2).eval(), None, card), tmp_path / "tiny")
    return tmp_path / "tiny"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(x) for x in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_shows_the_models_inside_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / WEIGHTS_FILE).rename(folder / "tiny.safetensors")
    (folder / CARD_FILE).rename(folder / "tiny.toml")
    monkeypatch.setattr(registry, "_EMBEDDED", folder)
    output = run("list")
    assert all(word in output for word in ("tiny", "0.5", "none", "CC0-1.0", "MB"))


def test_list_leaves_out_what_may_not_be_used_commercially(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    text = (folder / CARD_FILE).read_text()
    for name, licence in (("free", "CC0-1.0"), ("bound", "CC-BY-NC-4.0"), ("dark", "ask us")):
        (weights / f"{name}.toml").write_text(text.replace("CC0-1.0", licence))
    monkeypatch.setattr(registry, "_EMBEDDED", weights)
    everything, usable = run("list"), run("list", "--commercial-ok")
    assert all(word in everything for word in ("free", "bound", "dark", "not allowed"))
    assert "free" in usable
    assert not any(word in usable for word in ("bound", "dark", "not allowed", "not stated"))
    (weights / "free.toml").unlink()
    assert "no models inside this nuguide that may be used" in run("list", "--commercial-ok")


def test_show_says_in_words_what_the_licences_allow(folder: Path) -> None:
    assert "allowed (weights under CC0-1.0, training data set under MIT)" in run("show", folder)
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace("CC0-1.0", "CC-BY-NC-4.0"))
    assert "not allowed (weights under CC-BY-NC-4.0)" in run("show", folder)


def test_show_prints_the_card_with_definitions(folder: Path) -> None:
    output = run("show", folder)
    for word in ("A [bold] small", "unet (width 2)", "CC0-1.0", "train, 3 images", "sha256"):
        assert word in output
    for word in ("aji", "0.561", "0.520 to 0.600", "mean over images", "somewhere"):
        assert word in output


def test_show_takes_nothing_on_the_card_for_markup(folder: Path) -> None:
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace('name = "set"', 'name = "set [/bold]"'))
    assert "trained on set [/bold]" in run("show", folder)


def test_nothing_is_cut_short_in_a_narrow_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    card = folder / CARD_FILE
    definition = "2TP/(2TP+FP+FN) of one image's pixels"
    text = card.read_text().replace("mean over images", definition)
    card.write_text(text.replace("CC0-1.0", "CC-BY-NC-SA-4.0"))
    shown = run("show", folder)
    assert registry.load_card(folder).sha256 in "".join(shown.split())
    (folder / CARD_FILE).rename(folder / "tiny.toml")
    monkeypatch.setattr(registry, "_EMBEDDED", folder)
    for output in (shown, run("list")):
        assert "…" not in output  # rich's mark of what it has cut


def test_export_copies_a_model(folder: Path, tmp_path: Path) -> None:
    assert "copy" in run("export", folder, "-o", tmp_path / "copy")
    assert registry.load_card(tmp_path / "copy") == registry.load_card(folder)


def test_export_for_other_programs_tells_the_difference_to_torch(
    folder: Path, tmp_path: Path
) -> None:
    output = run("export", folder, "-o", tmp_path / "out", "--format", "torchscript")
    assert "model.torchscript.pt" in output
    assert float(output.split()[-1]) < 1e-4
    assert (tmp_path / "out" / "card.toml").is_file()


def test_blend_makes_a_model_of_two(folder: Path, tmp_path: Path) -> None:
    output = run("blend", folder, folder, "-o", tmp_path / "both", "--share", "0.3")
    assert "weight by weight 0.3 of tiny and 0.7 of tiny" in " ".join(output.split())
    assert "not scored" in output
    both, one = (registry.load_plain(each) for each in (tmp_path / "both", folder))
    assert both.card.scores == ()
    for found, expected in zip(both.network.parameters(), one.network.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    with pytest.raises(OutputError, match="holds a model already"):
        run("blend", folder, folder, "-o", tmp_path / "both")


def test_import_turns_a_published_checkpoint_into_a_model(shared: Path, tmp_path: Path) -> None:
    oracle = shared / "oracles" / "released_single.safetensors"
    output = run("import", oracle, "-o", tmp_path / "model")
    assert "released-single (sam-vit-b) is in" in output
    assert registry.load(tmp_path / "model").card.tile_px == 256
    with pytest.raises(OutputError, match="holds a model already"):
        run("import", oracle, "-o", tmp_path / "model")


def test_import_of_a_foreign_checkpoint_writes_nothing(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.ones(1)}, tmp_path / "foreign.pth")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"SAM_Guided": True, "use_maxblurpool": True}))
    with pytest.raises(ModelError, match="published"):
        run("import", tmp_path / "foreign.pth", "--config", config, "-o", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_unknown_model_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        run("show", "unheard-of")


def test_the_command_imports_nothing_heavy() -> None:
    script = (
        "import sys, nuguide.cli.models\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

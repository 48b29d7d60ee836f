from pathlib import Path

import pytest
import torch

from nuguide.errors import ModelError, OutputError
from nuguide.models import registry
from nuguide.models.checkpoint import CARD_FILE, WEIGHTS_FILE, save_model
from nuguide.models.model import Model
from nuguide.models.registry import embedded_models, export_model, load, load_card, weight_bytes


@pytest.fixture
def embedded(unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Put a small model called ``tiny`` where the package keeps its own."""
    folder = tmp_path / "weights"
    saved = save_model(unguided, folder)
    (folder / WEIGHTS_FILE).rename(folder / "tiny.safetensors")
    (folder / CARD_FILE).rename(folder / "tiny.toml")
    monkeypatch.setattr(registry, "_EMBEDDED", folder)
    return saved


def test_an_embedded_model_loads_by_name(embedded: Model) -> None:
    assert embedded_models() == ("tiny",)
    assert load("tiny").card == load_card("tiny") == embedded.card
    assert weight_bytes("tiny") > 1000


def test_a_folder_or_a_model_will_do_for_a_name(unguided: Model, tmp_path: Path) -> None:
    saved = save_model(unguided, tmp_path)
    assert load(tmp_path).card == load(str(tmp_path)).card == saved.card
    assert load(saved) is saved


def test_an_unknown_name_is_answered_with_the_nearest(embedded: Model) -> None:
    with pytest.raises(ModelError, match=r"no model 'tinny'.*did you mean tiny"):
        load("tinny")


def test_a_checkpoint_is_answered_with_the_way_to_import_it(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "best_model.pth")
    with pytest.raises(ModelError, match="nuguide models import"):
        load(tmp_path / "best_model.pth")


def test_a_folder_without_a_card_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no card at"):
        load(tmp_path)


def test_export_copies_a_model_and_overwrites_none(embedded: Model, tmp_path: Path) -> None:
    export_model("tiny", tmp_path / "copy")
    assert load(tmp_path / "copy").card == embedded.card
    with pytest.raises(OutputError, match="holds a model already"):
        export_model("tiny", tmp_path / "copy")


def test_every_model_inside_the_package_loads() -> None:
    for name in embedded_models():
        assert load(name).card.name == name

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nuguide.errors import ModelError, OutputError
from nuguide.models import registry
from nuguide.models.checkpoint import CARD_FILE, WEIGHTS_FILE, load_model_folder, save_model
from nuguide.models.model import Model
from nuguide.models.registry import embedded_models, export_model, load, load_card, weight_bytes
from nuguide.networks.inference import InferenceNetwork


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


def test_a_loaded_model_is_folded_and_its_file_is_not(guided: Model, tmp_path: Path) -> None:
    saved = save_model(guided, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert isinstance(loaded.network, InferenceNetwork)
    image = torch.rand(1, 3, 37, 50)
    with torch.inference_mode():
        tokens = [x.guide.encode(_rgb(image), 0.5).values for x in (saved, loaded)]
        plain, fast = (
            x.network(image, t)["nuclei"] for x, t in zip((saved, loaded), tokens, strict=True)
        )
    torch.testing.assert_close(tokens[1], tokens[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-5)
    assert loaded.guide.sha256 == saved.guide.sha256
    with pytest.raises(ModelError, match="folded for inference"):
        save_model(loaded, tmp_path / "again")
    assert load_model_folder(tmp_path / "model").network.state_dict().keys() == (
        guided.network.state_dict().keys()
    )


def _rgb(image: torch.Tensor) -> NDArray[np.uint8]:
    return (image * 255).byte().movedim(1, -1).numpy()

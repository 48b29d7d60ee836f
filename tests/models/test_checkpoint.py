import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nuguide.errors import ModelError, OutputError
from nuguide.guides.student import StudentGuide
from nuguide.models.card import Card, read_card
from nuguide.models.checkpoint import CARD_FILE, WEIGHTS_FILE, load_model_folder, save_model
from nuguide.models.model import Model, NamedGuide
from nuguide.networks.registry import build_network

Tensors = dict[str, torch.Tensor]

STUDENT: dict[str, Any] = {"widths": (4, 4, 4, 4), "blocks": 1}
OTHER_SCALE = {"kind": "student", "name": "student", "options": {**STUDENT, "mpp": 0.25}}
NO_SCALE = {"kind": "student", "name": "student", "options": {**STUDENT, "mpp": 0.0}}


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Change the weights and make the card agree, as somebody hostile would."""
    state = load_file(folder / WEIGHTS_FILE)
    change(state)
    save_file(state, folder / WEIGHTS_FILE)
    sha256 = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    card = read_card(folder / CARD_FILE).model_copy(update={"sha256": sha256})
    (folder / CARD_FILE).write_text(card.to_toml(), encoding="utf-8")


def predict(model: Model) -> torch.Tensor:
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    tokens = torch.rand(1, 256, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits: torch.Tensor = model.network(image, tokens)["nuclei"]
    return logits


@pytest.mark.parametrize("name", ["unguided", "guided"])
def test_a_saved_model_comes_back_equal(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    saved = save_model(model, tmp_path / "model")
    loaded = load_model_folder(tmp_path / "model")
    assert loaded.card == saved.card
    assert torch.equal(predict(loaded), predict(model))
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    if model.guide is None:
        assert loaded.guide is None
    else:
        assert isinstance(loaded.guide, StudentGuide)
        assert not loaded.guide.training
        assert loaded.guide.sha256 == model.guide.sha256
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        WEIGHTS_FILE,
        CARD_FILE,
    ]


def test_weights_that_float16_holds_take_half_the_bytes(unguided: Model, tmp_path: Path) -> None:
    whole = save_model(unguided, tmp_path / "whole")
    for value in whole.network.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())
    save_model(whole, tmp_path / "half")
    sizes = [(tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = load_model_folder(tmp_path / "half")
    assert {x.dtype for x in loaded.network.parameters()} == {torch.float32}
    assert torch.equal(predict(loaded), predict(whole))


def test_a_named_guide_needs_no_weights_until_it_encodes(
    unguided: Model, make_card: Callable[..., Card], tmp_path: Path
) -> None:
    card = make_card(guide={"kind": "named", "name": "sam-vit-b", "field_um": 64.0})
    save_model(Model(unguided.network, NamedGuide("sam-vit-b", 64.0), card), tmp_path)
    guide = load_model_folder(tmp_path).guide
    assert guide is not None
    assert (guide.name, guide.field_um) == ("sam-vit-b", 64.0)


def test_tampered_weights_are_refused(unguided: Model, tmp_path: Path) -> None:
    save_model(unguided, tmp_path)
    content = bytearray((tmp_path / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        load_model_folder(tmp_path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(
    unguided: Model, tmp_path: Path, value: float
) -> None:
    save_model(unguided, tmp_path)
    key = "network.heads.nuclei.weight"
    rewrite(tmp_path, lambda state: state[key].view(-1)[3:4].fill_(value))
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_model_folder(tmp_path)
    with torch.no_grad():
        unguided.network.get_parameter("heads.nuclei.weight").fill_(value)
    with pytest.raises(ModelError, match="NaN or infinite"):
        save_model(unguided, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("network.heads.nuclei.bias"), "lacks heads.nuclei.bias"),
        (lambda state: state.update({"network.more": torch.ones(1)}), "unexpected, more"),
        (lambda state: state.update({"other.more": torch.ones(1)}), "unexpected, other.more"),
        (
            lambda state: state.update({"heads.nuclei.bias": torch.ones(2)}),
            "unexpected, heads.nuclei.bias",
        ),
        (lambda state: state.update({"guide.more": torch.ones(1)}), "weights of a guide"),
        (
            lambda state: state.update({"network.heads.nuclei.bias": torch.ones(3)}),
            r"heads.nuclei.bias as torch.float32 \(3,\); expected torch.float32 \(2,\)",
        ),
        (
            lambda state: state.update({"network.heads.nuclei.bias": torch.ones(2).long()}),
            "heads.nuclei.bias as torch.int64",
        ),
    ],
)
def test_foreign_keys_and_shapes_are_named(
    unguided: Model, tmp_path: Path, change: Callable[[Tensors], object], said: str
) -> None:
    save_model(unguided, tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ModelError, match=said):
        load_model_folder(tmp_path)


@pytest.mark.parametrize("width", ["4096", "3", "0", "-1", "0.5", '"wide"', "[1, 2]"])
def test_a_card_whose_network_does_not_fit_is_one_line(
    unguided: Model, tmp_path: Path, width: str
) -> None:
    # The first would take 400 GB if it were built before its shapes are compared.
    save_model(unguided, tmp_path)
    text = (tmp_path / CARD_FILE).read_text(encoding="utf-8")
    text = text.replace("width = 2", f"width = {width}")
    (tmp_path / CARD_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="expected"):
        load_model_folder(tmp_path)


@pytest.mark.parametrize("widths", ["[4]", "[]", "[4, 4, 4, 8]", '["a", 4, 4, 4]', "7"])
def test_a_card_whose_student_does_not_fit_is_one_line(
    guided: Model, tmp_path: Path, widths: str
) -> None:
    save_model(guided, tmp_path)
    lines = (tmp_path / CARD_FILE).read_text(encoding="utf-8")
    start = lines.index("widths = [")
    end = lines.index("]", start) + 1
    (tmp_path / CARD_FILE).write_text(
        f"{lines[:start]}widths = {widths}{lines[end:]}", encoding="utf-8"
    )
    with pytest.raises(ModelError, match="expected"):
        load_model_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "changes", "said"),
    [
        ({"fusion": "cross", "window": 4}, {}, "names no guide"),
        ({"fusion": "released"}, {"guide": {"kind": "named", "name": "sam-vit-b"}}, "expected 256"),
        (
            {"fusion": "released"},
            {"guide": {"kind": "named", "name": "sam-vit-b"}, "tile_px": 512},
            "has tile_px = 512; expected 256",
        ),
        ({"fusion": "cross", "window": 4}, {"guide": OTHER_SCALE}, r"reads 0\.25 um/px"),
        ({"fusion": "cross", "window": 4}, {"guide": NO_SCALE}, "mpp 0"),
    ],
)
def test_a_card_that_its_network_or_student_cannot_work_with_is_refused(
    make_card: Callable[..., Card],
    tmp_path: Path,
    options: dict[str, Any],
    changes: dict[str, Any],
    said: str,
) -> None:
    options = {"width": 2, **options}
    network = build_network("eunet3plus", **options)
    card = make_card(network={"architecture": "eunet3plus", "options": options}, **changes)
    student = StudentGuide(**STUDENT) if card.guide.kind == "student" else None
    save_model(Model(network, student, card), tmp_path)
    with pytest.raises(ModelError, match=said) as refused:
        load_model_folder(tmp_path)
    assert "\n" not in str(refused.value)


def test_files_that_are_no_weights_are_refused(unguided: Model, tmp_path: Path) -> None:
    save_model(unguided, tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"\xff" * 64)
    sha256 = hashlib.sha256(b"\xff" * 64).hexdigest()
    card = read_card(tmp_path / CARD_FILE).model_copy(update={"sha256": sha256})
    (tmp_path / CARD_FILE).write_text(card.to_toml(), encoding="utf-8")
    with pytest.raises(ModelError, match="no safetensors"):
        load_model_folder(tmp_path)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match="no weights at"):
        load_model_folder(tmp_path)


def test_a_card_that_hides_or_invents_a_student_is_refused(
    guided: Model, unguided: Model, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="student"):
        save_model(Model(guided.network, guided.guide, unguided.card), tmp_path)
    with pytest.raises(ModelError, match="student"):
        save_model(Model(guided.network, None, guided.card), tmp_path)


def test_an_interrupted_write_leaves_the_old_model_whole(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(unguided, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nuguide.files.os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_model(unguided, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_place_that_is_a_file_is_one_line(unguided: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        save_model(unguided, tmp_path / "file")

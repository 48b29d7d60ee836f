import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nuguide.errors import ModelError
from nuguide.models.checkpoint import load_model_folder, save_model
from nuguide.models.released import key_pairs, load_released
from nuguide.models.released_config import ReleasedConfig
from nuguide.networks.registry import build_network

WIDTH = 2
CONFIG: dict[str, Any] = {
    "channel": WIDTH,
    "use_maxblurpool": True,
    "SAM_Guided": True,
    "advancedSAM_Guided": False,
    "activation": "GLU",
}
GUIDANCE: dict[str, dict[str, Any]] = {
    "single": {},
    "multi-level": {"advancedSAM_Guided": True},
    "unguided": {"SAM_Guided": False},
    "relu": {"SAM_Guided": False, "activation": "relu", "use_maxblurpool": False},
}
ORACLES = ("single", "multilevel", "unguided", "relu_maxpool")

Tensors = dict[str, torch.Tensor]


def published_state(seed: int = 0, **changes: Any) -> Tensors:
    """Return random weights under the published keys, those of every guidance block included."""
    torch.manual_seed(seed)
    settings = CONFIG | changes
    state: Tensors = {}
    for guidance in ({"advancedSAM_Guided": True}, {}):
        network = build_network(
            "eunet3plus",
            width=WIDTH,
            fusion="released",
            multi_level=bool(guidance),
            activation=settings["activation"].lower(),
        )
        pairs = {
            ours: theirs
            for theirs, ours in key_pairs(ReleasedConfig.read(CONFIG | guidance, "test"))
        }
        for key, tensor in network.state_dict().items():
            ours = max(
                (p for p in pairs if key.startswith(f"{p}.") or key == p), key=len, default=""
            )
            ours = ours or next(p for p in pairs if key.startswith(p))
            state[pairs[ours] + key.removeprefix(ours)] = tensor.clone()
    return state


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def embedding() -> torch.Tensor:
    return torch.randn(1, 256, 16, 16, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize("name", ORACLES)
def test_rebuilds_the_published_function(shared: Path, name: str) -> None:
    path = shared / "oracles" / f"released_{name}.safetensors"
    known = load_file(path)
    model = load_released(path)
    with torch.inference_mode():
        image, embedding = known["input.image"].float(), known["input.embedding"].float()
        logits = model.network(image, embedding)["nuclei"]
        bottleneck = model.network.encode(image, embedding if model.guide else None)[-1]
    assert (logits.sigmoid() - known["output.probability"]).abs().max() <= 1e-5
    assert (bottleneck - known["output.bottleneck"]).abs().max() <= 1e-5
    assert (model.card.mpp, model.card.channel_order, model.card.tile_px) == (0.25, "bgr", 256)


@pytest.mark.parametrize("guidance", GUIDANCE)
def test_the_same_keys_give_the_function_that_the_config_asks_for(
    tmp_path: Path, guidance: str, image: torch.Tensor, embedding: torch.Tensor
) -> None:
    changes = GUIDANCE[guidance]
    path = tmp_path / "best_model.pth"
    state = published_state(**changes)
    torch.save({"model_state_dict": state, "optimizer_state_dict": {"state": {}}}, path)
    model = load_released(path, CONFIG | changes)
    with torch.inference_mode():
        logits = model.network(image, embedding)["nuclei"]
        other = model.network(image, -embedding)["nuclei"]
    assert logits.isfinite().all()
    # Weights in their places: the head's are those of the published head.
    assert torch.equal(model.network.get_parameter("heads.nuclei.bias"), state["outconv1.bias"])
    guided = guidance in ("single", "multi-level")
    assert torch.equal(logits, other) != guided
    if guided:
        assert model.guide is not None
        assert (model.guide.name, model.guide.field_um) == ("sam-vit-b", 64.0)
    else:
        assert model.guide is None


@pytest.mark.parametrize("wrapping", ["bare", "state_dict", "module.", "state."])
def test_wrappers_and_prefixes_are_accepted(tmp_path: Path, wrapping: str) -> None:
    state = published_state()
    prefix = wrapping if wrapping.endswith(".") else ""
    renamed = {prefix + key: tensor for key, tensor in state.items()}
    if wrapping == "state.":
        path = tmp_path / "weights.safetensors"
        metadata = {"config": json.dumps(CONFIG)}
        save_file(renamed | {"input.image": torch.zeros(1)}, path, metadata=metadata)
        model = load_released(path)
    else:
        path = tmp_path / "weights.pth"
        torch.save({"state_dict": renamed} if wrapping == "state_dict" else renamed, path)
        model = load_released(path, CONFIG)
    assert torch.equal(model.network.get_parameter("heads.nuclei.bias"), state["outconv1.bias"])


def test_an_import_is_a_model_like_any_other(
    tmp_path: Path, image: torch.Tensor, embedding: torch.Tensor
) -> None:
    path = tmp_path / "best_model.pth"
    torch.save(published_state(), path)
    model = load_released(path, CONFIG)
    save_model(model, tmp_path / "model")
    loaded = load_model_folder(tmp_path / "model")
    assert loaded.card.name == "released-single"
    with torch.inference_mode():
        one, other = (x.network(image, embedding)["nuclei"] for x in (model, loaded))
    assert torch.equal(one, other)


def test_the_config_may_be_a_file_of_either_kind(tmp_path: Path) -> None:
    path = tmp_path / "best_model.pth"
    torch.save(published_state(), path)
    as_json, as_sys = tmp_path / "config.json", tmp_path / "config.sys"
    as_json.write_text(json.dumps(CONFIG | {"log": "log/", "class1": [0, 0, 0]}))
    as_sys.write_text(
        'log = "log/"\n\n[Training]\nSAM_Guided = "True"   # SAM Guided - True or False\n'
        'advancedSAM_Guided = "False"\n# comment\n[Parameters]\nchannel = 2 # width\n'
        'activation = "GLU"     # Activations available: relu, GLU\nuse_maxblurpool = "True"\n'
        "kernel_size = 3\nnum_classes = 2  # nuclei, background\n"
    )
    cards = [load_released(path, config).card for config in (CONFIG, as_json, str(as_sys))]
    assert cards[0] == cards[1] == cards[2]
    for file in (as_json, as_sys):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().removeprefix(b'log = "log/"\n\n'))
        assert load_released(path, file).card == cards[0]


def test_without_a_config_the_choices_are_listed(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "best_model.pth")
    with pytest.raises(ModelError, match=r"single-level.*multi-level.*unguided.*config\.json"):
        load_released(tmp_path / "best_model.pth")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channel": 32}, "channel 2 by its shapes; the config says 32"),
        ({"activation": "relu"}, "activation GLU by its shapes; the config says relu"),
        ({"activation": "swish"}, "activation"),
        ({"SAM_Guided": "perhaps"}, "SAM_Guided"),
        ({"num_classes": 5}, "num_classes"),
        ({"kernel_size": "5"}, "kernel_size"),
    ],
)
def test_a_config_of_another_checkpoint_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    torch.save(published_state(), tmp_path / "best_model.pth")
    with pytest.raises(ModelError, match=said):
        load_released(tmp_path / "best_model.pth", CONFIG | change)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pickle-was-run"),))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"layer": torch.ones(1)}, "h1_Cat_hd1_conv.weight"),
        ({"model_state_dict": Evil()}, "cannot be read as plain weights"),
        ([1, 2], "h1_Cat_hd1_conv.weight"),
    ],
)
def test_a_foreign_checkpoint_is_one_line_and_runs_nothing(
    tmp_path: Path, content: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "foreign.pth")
    with pytest.raises(ModelError, match=said) as raised:
        load_released(tmp_path / "foreign.pth", CONFIG)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "pickle-was-run").exists()


def test_a_picture_is_no_checkpoint_and_unpickling_it_is_not_advised(tmp_path: Path) -> None:
    path = tmp_path / "lung.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(ModelError, match="cannot be read as plain weights") as raised:
        load_released(path, CONFIG)
    assert "weights_only" not in str(raised.value)


def test_more_or_fewer_keys_or_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "best_model.pth"
    state = published_state()
    torch.save(state | {"conv9.weight": torch.ones(1)}, path)
    with pytest.raises(ModelError, match=r"keys of another network \(conv9"):
        load_released(path, CONFIG)
    torch.save({key: x for key, x in state.items() if key != "outconv1.bias"}, path)
    with pytest.raises(ModelError, match=r"lacks heads\.nuclei\.bias"):
        load_released(path, CONFIG)
    state["outconv1.bias"] = torch.tensor([torch.nan, 0.0])
    torch.save(state, path)
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_released(path, CONFIG)


def test_missing_and_broken_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint at"):
        load_released(tmp_path / "absent.pth", CONFIG)
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 broken")
        with pytest.raises(ModelError, match=name):
            load_released(tmp_path / name, CONFIG)

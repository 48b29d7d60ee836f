import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SamVisionConfig, SamVisionModel

from nuguide.errors import GuideError
from nuguide.guides.base import Guide
from nuguide.guides.encoder_files import read_encoder
from nuguide.guides.frozen import UNIT_PIXELS
from nuguide.guides.registry import Layout
from nuguide.guides.sam import SamEncoder, SamGuide, encoder_state, sam_sizes


def hub_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    config = SamVisionConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        window_size=3,
        global_attn_indexes=[1],
        mlp_dim=24,
        initializer_range=0.2,
    )
    return SamVisionModel(config).state_dict()


def oracle_state(oracle: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = {key.removeprefix("state."): v for key, v in oracle.items() if key.startswith("state.")}
    return encoder_state(state, "oracle")


@pytest.fixture
def oracle(shared: Path) -> dict[str, torch.Tensor]:
    return load_file(shared / "oracles/sam_original_layout.safetensors")


def test_original_layout_equals_the_oracle(oracle: dict[str, torch.Tensor]) -> None:
    encoder = SamEncoder(oracle_state(oracle), "oracle").eval()
    with torch.no_grad():
        got = encoder(oracle["input.pixels"].float())
    torch.testing.assert_close(got, oracle["output.embedding"], atol=5e-5, rtol=0)


def test_sizes_are_read_off_the_shapes(shared: Path, oracle: dict[str, torch.Tensor]) -> None:
    from safetensors import safe_open

    with safe_open(shared / "oracles/sam_original_layout.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    sizes = sam_sizes(oracle_state(oracle), "oracle")
    assert (sizes.width, sizes.depth, sizes.heads) == (
        config["embed_dim"],
        config["depth"],
        config["num_heads"],
    )
    assert (sizes.image_px, sizes.window) == (config["img_size"], config["window_size"])
    assert list(sizes.global_blocks) == config["global_attn_indexes"]


def test_guide_keeps_the_contract() -> None:
    guide = SamGuide(hub_state(), "sam-vit-b", field_um=32.0)
    assert isinstance(guide, Guide)
    rgb = np.random.default_rng(0).integers(0, 256, (2, 40, 64, 3), dtype=np.uint8)
    embedding = guide.encode(rgb, 0.5)
    assert embedding.values.shape == (2, 256, 3, 4)
    assert embedding.token_um == 8.0
    assert not embedding.values.requires_grad


def test_pixel_scale_is_the_encoder_s_own() -> None:
    white = np.full((1, 64, 64, 3), 255, dtype=np.uint8)
    fed = []
    for guide in (
        SamGuide(hub_state(), "sam-vit-b", 32.0),
        SamGuide(hub_state(), "medsam", 32.0, UNIT_PIXELS),
    ):
        guide._encoder.register_forward_pre_hook(lambda _, args: fed.append(args[0].amax().item()))
        guide.encode(white, 0.5)
    assert fed == pytest.approx([(255 - 103.53) / 57.375, 1.0])


def test_hub_s_own_folder_gives_the_same_encoder(tmp_path: Path) -> None:
    state = hub_state()
    save_file({**state, "mask_decoder.x": torch.zeros(1)}, tmp_path / "model.safetensors")
    layout, got = read_encoder(tmp_path)
    assert layout is Layout.SAM
    assert {key: value.shape for key, value in got.items()} == {
        k: v.shape for k, v in state.items()
    }


def test_trainer_s_checkpoint_is_read_behind_its_prefix(oracle: dict[str, torch.Tensor]) -> None:
    plain = {key.removeprefix("state."): value for key, value in oracle.items() if "state." in key}
    behind = {f"sam.{key}": value for key, value in plain.items()}
    assert set(encoder_state(behind, "here")) == set(encoder_state(plain, "here"))


def test_nan_weights_are_refused() -> None:
    state = hub_state()
    state["vision_encoder.pos_embed"][0, 0, 0, 0] = float("nan")
    with pytest.raises(GuideError, match="pos_embed holds NaN"):
        SamGuide(state, "sam-vit-b")


@pytest.mark.parametrize("missing", ["pos_embed", "layers.1.attn.rel_pos_h", "neck.conv2.weight"])
def test_incomplete_weights_are_refused(missing: str) -> None:
    state = hub_state()
    del state[f"vision_encoder.{missing}"]
    with pytest.raises(GuideError, match="no complete SAM image encoder"):
        SamGuide(state, "sam-vit-b")


def test_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuideError, match=r"model\.safetensors"):
        read_encoder(tmp_path)

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nuguide.errors import GuideError
from nuguide.guides.base import Guide
from nuguide.guides.fields import encode_extent
from nuguide.guides.registry import load_guide
from nuguide.guides.tinyvit import (
    PREFIX,
    TinyVitSamGuide,
    encoder_state,
    tinyvit_sizes,
)
from nuguide.guides.tinyvit_encoder import TinyVitEncoder, TinyVitSizes

SMALL = TinyVitSizes(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(2, 2, 2), windows=(3, 2, 3))


def small_state(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    encoder = TinyVitEncoder(SMALL)
    for part in encoder.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return {PREFIX + key: value for key, value in encoder.state_dict().items()}


def small_guide() -> TinyVitSamGuide:
    return TinyVitSamGuide(small_state(), field_um=32.0, input_px=64)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_embedding_equals_the_oracle(shared: Path) -> None:
    oracle = load_file(shared / "oracles/tinyvit_sam_embedding.safetensors")
    guide = load_guide(shared / "weights/tinyvit_sam/image_encoder.safetensors", field_um=64.0)
    assert guide is not None
    got = encode_extent(guide, oracle["input.image"].numpy(), 0.25).values
    expected = oracle["output.embedding"].float()
    assert got.shape == (1, 256, 64, 64)
    assert torch.cosine_similarity(got.flatten(), expected.flatten(), dim=0) > 0.9999
    assert (got - expected).norm() / expected.norm() < 1e-3


def test_guide_keeps_the_contract() -> None:
    guide = small_guide()
    assert isinstance(guide, Guide)
    embedding = guide.encode(noise(2, 64, 64), 0.5)
    assert embedding.values.shape == (2, 256, 4, 4)
    assert embedding.values.dtype == torch.float32
    assert not embedding.values.requires_grad
    assert embedding.token_um == 8.0
    assert (embedding.name, len(embedding.sha256)) == ("tinyvit-sam", 64)


def test_folding_batch_norm_keeps_the_function() -> None:
    torch.manual_seed(0)
    encoder = TinyVitEncoder(SMALL)
    encoder.load_state_dict({k.removeprefix(PREFIX): v for k, v in small_state().items()})
    encoder.eval()
    image = torch.randn(1, 3, 48, 80)
    with torch.no_grad():
        plain = encoder(image)
        encoder.fold()
        torch.testing.assert_close(encoder(image), plain, atol=1e-4, rtol=1e-4)


def test_tissue_smaller_than_a_field_keeps_its_scale() -> None:
    embedding = small_guide().encode(noise(1, 20, 33), 0.5)
    assert embedding.values.shape == (1, 256, 2, 3)


def test_tissue_larger_than_a_field_is_refused() -> None:
    with pytest.raises(GuideError, match="encode_extent"):
        small_guide().encode(noise(1, 65, 64), 0.5)


def test_finer_tissue_is_shrunk_without_aliasing() -> None:
    checks = np.indices((128, 128)).sum(0) % 2 * 255
    fine = np.repeat(checks[None, ..., None], 3, axis=3).astype(np.uint8)
    grey = np.full((1, 64, 64, 3), 128, dtype=np.uint8)
    guide = small_guide()
    fine_tokens, grey_tokens = guide.encode(fine, 0.25).values, guide.encode(grey, 0.5).values
    torch.testing.assert_close(fine_tokens, grey_tokens, atol=0.1, rtol=0.1)


def test_checkpoint_of_the_whole_model_loads(tmp_path: Path) -> None:
    state = small_state()
    rest = {
        "mask_decoder.x": torch.zeros(1),
        "image_encoder.norm_head.weight": torch.zeros(1),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.zeros(1),
    }
    assert set(encoder_state({**state, **rest}, "here")) == set(state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    state = small_state()
    state["image_encoder.neck.0.weight"][3, 2] = value
    with pytest.raises(GuideError, match=r"neck\.0\.weight holds NaN"):
        TinyVitSamGuide(state)


def test_weights_of_another_architecture_are_refused() -> None:
    with pytest.raises(GuideError, match="no TinyViT encoder"):
        encoder_state({"conv.weight": torch.zeros(1)}, "here")
    state = small_state()
    del state["image_encoder.layers.2.blocks.0.mlp.fc1.weight"]
    state["image_encoder.extra"] = torch.zeros(1)
    with pytest.raises(GuideError, match=r"lacks layers\.2.*has, unexpected, extra;"):
        TinyVitSamGuide(encoder_state(state, "here"))


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("layers.1.blocks.0.attn.attention_biases", (3, 9)),
        ("layers.1.blocks.0.attn.attention_biases", (2, 10000)),
        ("layers.1.blocks.0.attn.attention_biases", (9,)),
        ("layers.0.blocks.0.conv1.c.weight", (4, 0, 1, 1)),
        ("neck.2.weight", (8, 8, 3, 3)),
        ("layers.1.blocks.0.attn.proj.bias", (0,)),
        ("layers.0.blocks.0.conv1.c.weight", (0, 64, 1, 1)),
    ],
)
def test_shapes_that_make_no_encoder_are_refused(key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(GuideError, match="TinyViT"):
        TinyVitSamGuide({**small_state(), PREFIX + key: torch.zeros(shape)})


def test_sizes_are_read_off_the_shapes() -> None:
    assert tinyvit_sizes(small_state(), "here") == SMALL


@pytest.mark.parametrize("field_um", [0.0, -1.0, float("nan"), float("inf")])
def test_field_must_be_a_width(field_um: float) -> None:
    with pytest.raises(GuideError, match="field_um"):
        TinyVitSamGuide(small_state(), field_um=field_um)

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import SamVisionConfig, SamVisionModel

from nuguide.errors import GuideError
from nuguide.guides import registry
from nuguide.guides.adding import add_guide
from nuguide.guides.base import Guide
from nuguide.guides.fields import encode_extent
from nuguide.guides.registry import GUIDES, Layout, load_guide
from nuguide.guides.tinyvit_encoder import TinyVitEncoder, TinyVitSizes

WIDTH = 16


def tiny_weights(layout: Layout) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    if layout is Layout.TINYVIT:
        sizes = TinyVitSizes((4, 8, 8, WIDTH), (1, 1, 1, 1), (2, 2, 2), (7, 14, 7), expansion=2)
        encoder = TinyVitEncoder(sizes)
        return {f"image_encoder.{key}": value for key, value in encoder.state_dict().items()}
    config = SamVisionConfig(
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=128,
        window_size=3,
        global_attn_indexes=[1],
        mlp_dim=16,
        initializer_range=0.2,
    )
    return SamVisionModel(config).state_dict()


@pytest.fixture
def tiny_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a registry whose guides may be tiny."""
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    for name, entry in GUIDES.items():
        monkeypatch.setitem(registry.GUIDES, name, replace(entry, widths=(WIDTH,)))
    return tmp_path


def added(name: str, folder: Path) -> None:
    save_file(tiny_weights(GUIDES[name].layout), folder / "tiny.safetensors")
    add_guide(name, folder / "tiny.safetensors")


@pytest.mark.parametrize("name", sorted(GUIDES))
def test_every_guide_keeps_the_contract(name: str, tiny_cache: Path) -> None:
    added(name, tiny_cache)
    guide = load_guide(name)
    assert isinstance(guide, Guide)
    assert guide.name == name
    assert guide.field_um == 128.0
    assert len(guide.sha256) == 64
    rgb = np.random.default_rng(0).integers(0, 256, (66, 150, 3), dtype=np.uint8)
    embedding = encode_extent(guide, rgb, 1.0)
    token_um = 2.0 if name == "tinyvit-sam" else 16.0
    assert embedding.token_um == token_um
    rows, columns = int(np.ceil(66 / token_um)), int(np.ceil(150 / token_um))
    assert embedding.values.shape == (1, 256, rows, columns)
    assert embedding.values.dtype == torch.float32
    assert not embedding.values.requires_grad
    assert torch.isfinite(embedding.values).all()
    assert torch.equal(encode_extent(guide, rgb, 1.0).values, embedding.values)
    assert (embedding.name, embedding.sha256) == (guide.name, guide.sha256)


@pytest.mark.parametrize("name", sorted(GUIDES))
def test_missing_weights_list_every_way_to_get_them(name: str, tiny_cache: Path) -> None:
    with pytest.raises(GuideError) as caught:
        load_guide(name)
    message = str(caught.value)
    entry = GUIDES[name]
    assert all(f"nuguide guides add {name} --from {file}" in message for file in entry.files)
    assert entry.hub_id is None or f"downloads {entry.hub_id}" in message
    assert "\n" not in message


def test_no_guide_is_none() -> None:
    assert load_guide("none") is None
    assert load_guide(None) is None


def test_unknown_guide_shows_the_nearest() -> None:
    with pytest.raises(GuideError, match="did you mean tinyvit-sam"):
        load_guide("tinyvit")


def test_guide_from_a_path_bears_the_file_s_name(tmp_path: Path) -> None:
    save_file(tiny_weights(Layout.SAM), tmp_path / "my-sam.safetensors")
    guide = load_guide(str(tmp_path / "my-sam.safetensors"), field_um=64.0)
    assert guide is not None
    assert (guide.name, guide.field_um) == ("my-sam", 64.0)


def test_instance_is_returned_as_it_is_or_refused(tiny_cache: Path) -> None:
    added("pathosam", tiny_cache)
    guide = load_guide("pathosam", field_um=32.0)
    assert guide is not None
    assert load_guide(guide) is guide
    assert load_guide(guide, field_um=32.0) is guide
    with pytest.raises(GuideError, match="field_um"):
        load_guide(guide, field_um=64.0)


def test_field_of_no_width_is_refused(tiny_cache: Path) -> None:
    added("pathosam", tiny_cache)
    with pytest.raises(GuideError, match="field_um"):
        load_guide("pathosam", field_um=0.0)

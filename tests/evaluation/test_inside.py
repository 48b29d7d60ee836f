import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from nuguide.datasets.base import Sample
from nuguide.errors import ModelError
from nuguide.evaluation.inside import look_inside
from nuguide.guides.student import StudentGuide
from nuguide.models.card import Card, GuideSpec, NetworkSpec
from nuguide.models.inference import for_inference
from nuguide.models.model import Model
from nuguide.networks import cuda_graphs
from nuguide.networks.registry import build_network
from nuguide.segmentation.predictor import predict_maps

VISUAL: dict[str, Any] = runpy.run_path(
    str(Path(__file__).resolve().parents[2] / "benchmarks" / "visual.py")
)
MODES = ("none", "cross", "released", "paper")


def model(fusion: str = "none", architecture: str = "eunet3plus", **options: Any) -> Model:
    torch.manual_seed(0)
    if architecture == "eunet3plus":
        options = {"width": 2, "heads": ("nuclei", "distance"), "fusion": fusion, **options}
    network = build_network(architecture, **options).eval()
    guide = StudentGuide(widths=(4, 4, 4, 4), blocks=1).eval() if fusion != "none" else None
    spec = GuideSpec(kind="student", name="student") if guide else GuideSpec()
    card = Card(
        name="tiny",
        version="1",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        tile_px=getattr(network, "tile_px", None),
        network=NetworkSpec(architecture=architecture, options=options),
        guide=spec,
        sha256="0" * 64,
    )
    return Model(network, guide, card)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("fusion", MODES)
def test_looking_changes_nothing_and_leaves_nothing_behind(fusion: str) -> None:
    some, rgb = model(fusion), picture(40, 56)
    before = predict_maps(some, rgb).foreground
    look_inside(some, rgb)
    np.testing.assert_array_equal(predict_maps(some, rgb).foreground, before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in some.network.modules())


def test_maps_lie_over_the_image_alone() -> None:
    inside = look_inside(model("cross", fusion_level=3, window=4), picture(40, 56))
    shapes = [each.shape for each in inside.levels]
    assert shapes == [(2, 40, 56), (4, 20, 28), (8, 10, 14), (16, 5, 7), (32, 3, 4)]
    assert inside.before is not None
    assert inside.after is not None
    assert inside.tokens is not None
    assert inside.before.shape == inside.after.shape == (8, 10, 14)
    assert inside.tokens.shape == (256, 10, 14)
    np.testing.assert_array_equal(inside.after, inside.levels[2])
    for each in (inside.gate, inside.received, inside.entropy):
        assert each is not None
        assert each.shape == (10, 14)


def test_it_looks_into_a_model_that_is_folded_for_inference() -> None:
    plain, rgb = model("cross", fusion_level=3), picture(32, 32)
    one, other = look_inside(plain, rgb), look_inside(for_inference(plain), rgb)
    np.testing.assert_allclose(one.bottleneck, other.bottleneck, atol=1e-4)
    assert one.received is not None
    np.testing.assert_allclose(one.received, other.received, atol=1e-3)


def fusion_of(some: Model, kind: type[torch.nn.Module]) -> Any:
    return next(m for m in some.network.modules() if isinstance(m, kind))


def test_on_a_gpu_it_sees_the_parts_at_work_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    singly: list[bool] = []

    def is_for_graphs(image: torch.Tensor) -> bool:
        singly.append(getattr(cuda_graphs._thread, "singly", False))
        return False

    monkeypatch.setattr(cuda_graphs, "_is_for_graphs", is_for_graphs)
    look_inside(for_inference(model("released")), picture(40, 300))
    assert singly == [True, True]  # two tiles


def test_attention_in_windows_is_what_the_block_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    some = model("cross", fusion_level=3, window=4)
    given: list[torch.Tensor] = []
    plain = F.scaled_dot_product_attention

    def weighed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        # With ones on the diagonal for values, attention gives its weights themselves.
        given.append(plain(query, key, torch.eye(key.shape[2]).expand(*key.shape[:3], -1)))
        return plain(query, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(F, "scaled_dot_product_attention", weighed)
        predict_maps(some, picture(16, 32))
    (weights,) = given  # one row of two windows of 4 x 4 positions
    inside = look_inside(some, picture(16, 32))
    assert inside.received is not None
    assert inside.entropy is not None
    expected = weights.mean((1, 2)).view(2, 4, 4) * 16
    np.testing.assert_allclose(inside.received, np.concatenate([*expected], axis=1), atol=1e-5)
    entropy = torch.special.entr(weights).sum(-1).mean(1).view(2, 4, 4) / np.log(16)
    np.testing.assert_allclose(inside.entropy, np.concatenate([*entropy], axis=1), atol=1e-5)


@pytest.mark.parametrize("fusion", ["released", "paper"])
def test_global_attention_is_seen_tile_by_tile(fusion: str) -> None:
    some = model(fusion)
    inside = look_inside(some, picture(256, 300))
    assert inside.received is not None
    assert inside.entropy is not None
    assert inside.received.shape == inside.entropy.shape == (16, 19)
    assert inside.bottleneck.shape == (32, 16, 19)
    assert inside.received[:, :16].mean() == pytest.approx(1, abs=1e-4)
    assert 0 < inside.entropy.min() <= inside.entropy.max() <= 1 + 1e-6


def test_even_attention_is_one_everywhere() -> None:
    some = model("released")
    attention = some.network.fuse.attention
    with torch.no_grad():
        attention.in_proj_weight.zero_()
        attention.in_proj_bias.zero_()
    inside = look_inside(some, picture(256, 256))
    assert inside.received is not None
    assert inside.entropy is not None
    np.testing.assert_allclose(inside.received, 1, atol=1e-5)
    np.testing.assert_allclose(inside.entropy, 1, atol=1e-5)


@pytest.mark.parametrize("fusion", ["cross", "paper"])
def test_the_gate_is_the_sigmoid_of_the_second_half(fusion: str) -> None:
    some = model(fusion)
    block = some.network.fuse
    convolution = block.gate[0] if fusion == "cross" else block.glu[0]
    half = convolution.out_channels // 2
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias[:half], convolution.bias[half:] = -5.0, 1.0
    gate = look_inside(some, picture(32, 32)).gate
    np.testing.assert_allclose(gate, 1 / (1 + np.exp(-1)), atol=1e-6)


def test_released_has_no_map_of_its_gate_and_none_has_nothing_to_fuse() -> None:
    released, none = (
        look_inside(model(fusion), picture(32, 32)) for fusion in ("released", "none")
    )
    assert released.gate is None
    assert released.tokens is not None
    assert (none.tokens, none.before, none.gate, none.received) == (None,) * 4


def test_multi_level_gates_leave_attention_and_maps() -> None:
    inside = look_inside(model("released", multi_level=True), picture(256, 256))
    assert inside.tokens is None
    assert inside.received is not None
    assert inside.bottleneck.shape == (32, 16, 16)


def test_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match="is 'unet'; expected 'eunet3plus'"):
        look_inside(model(architecture="unet", width=2), picture(32, 32))


def test_colours_are_shared_principal_components() -> None:
    random = np.random.default_rng(0)
    direction = np.array([3.0, -1.0, 0.5, 0.1])
    maps = [
        (direction[:, None, None] * random.normal(size=(5, 6)) + 7).astype(np.float32)
        for _ in range(2)
    ]
    one, other = VISUAL["in_colours"](maps)
    assert one.shape == other.shape == (5, 6, 3)
    # The first component is the direction, signed by its largest loading: red goes with channel 0.
    values = np.concatenate([each[0].ravel() for each in maps])
    reds = np.concatenate([each[..., 0].ravel() for each in (one, other)]).astype(float)
    assert np.corrcoef(values, reds)[0, 1] > 0.95


@pytest.mark.parametrize("fusion", ["cross", "released"])
def test_a_figure_is_drawn_of_images_chosen_by_rule(
    fusion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = {"a": 0.1, "b": -0.2, "c": 0.3, "d": 0.0, "e": 0.05}
    labels = np.zeros((48, 48), np.int32)
    labels[8:20, 8:20] = 1
    samples = [Sample(name, picture(48, 48), labels, 0.5) for name in gaps]
    guided, unguided = model(fusion), model()
    chosen = VISUAL["chosen_images"]
    monkeypatch.setitem(
        chosen.__globals__, "aji_of", lambda s, m: 0.5 + gaps[s.name] * (m is guided)
    )
    assert [each.name for each in chosen(samples, guided, unguided)] == ["b", "e", "c"]
    case = VISUAL["case_of"](samples[0], guided, unguided)
    VISUAL["write"](VISUAL["drawn"]([case, case]), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as drawn:
        assert min(drawn.size) > 300
    assert any("fusion changes" in fact for fact in VISUAL["facts_of"](case))

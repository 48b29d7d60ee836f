"""Every network in the registry keeps the contract that the predictor and the training rely on."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nuguide.errors import ModelError
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import ARCHITECTURES, build_network

HEADS = ("nuclei", "distance", "offsets", "types")
SIZE = (41, 70)

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "eunet3plus-none": ("eunet3plus", {}),
    "eunet3plus-released": ("eunet3plus", {"fusion": "released"}),
    "eunet3plus-multi-level": ("eunet3plus", {"fusion": "released", "multi_level": True}),
    "eunet3plus-paper": ("eunet3plus", {"fusion": "paper"}),
    "eunet3plus-cross": ("eunet3plus", {"fusion": "cross", "window": 4}),
    "eunet3plus-cross-level-3": ("eunet3plus", {"fusion": "cross", "fusion_level": 3}),
    "eunet3plus-cross-multi-level": (
        "eunet3plus",
        {"fusion": "cross", "fusion_level": 3, "window": 4, "multi_level": True},
    ),
    "eunet3plus-distil": ("eunet3plus", {"fusion": "distil", "fusion_level": 3}),
    "eunet3plus-relu-max": ("eunet3plus", {"activation": "relu", "pooling": "max"}),
    "eunet3plus-types-of-encoder": ("eunet3plus", {"types_from": "encoder"}),
    "unet": ("unet", {}),
    "unet-bilinear": ("unet", {"upsampling": "bilinear"}),
    "unet3plus": ("unet3plus", {}),
    "unet3plus-deep-cgm": (
        "unet3plus",
        {"deep_supervision": True, "classification_guided": True},
    ),
    "ddunet": ("ddunet", {}),
}


@pytest.fixture(params=VARIANTS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    architecture, options = VARIANTS[request.param]
    torch.manual_seed(0)
    return build_network(architecture, width=4, heads=HEADS, n_types=3, **options)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return torch.randn(2, 256, 11, 18, generator=torch.Generator().manual_seed(2))


def settle(network: nn.Module, image: Tensor, tokens: Tensor) -> nn.Module:
    """Give batch norm the statistics of real maps: random ones let activations explode."""
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(image, tokens)
    return network.eval()


def test_every_network_is_under_contract() -> None:
    assert {architecture for architecture, _ in VARIANTS.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("width", [0, -2])
def test_no_network_is_without_width(architecture: str, width: int) -> None:
    with pytest.raises(ModelError, match=f"width {width}; expected 1 or more"):
        build_network(architecture, width=width)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_size_that_torch_refuses_is_one_line(architecture: str) -> None:
    with pytest.raises(ModelError, match="cannot be built") as error:
        build_network(architecture, width=2, heads=("nuclei", "types"), n_types=-1)
    assert "\n" not in str(error.value)


def test_gives_finite_logits_of_every_head_at_the_images_own_size(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    settle(network, image, tokens)
    with torch.inference_mode():
        outputs = network(image, tokens)
    assert outputs["nuclei"].shape == (2, 2, *SIZE)
    assert outputs["distance"].shape == (2, 1, *SIZE)
    assert outputs["offsets"].shape == (2, 2, *SIZE)
    assert outputs["types"].shape == (2, 3, *SIZE)
    assert set(network.heads) == set(HEADS), "the training asks for the targets of these"
    assert all(x.isfinite().all() for x in outputs.values())


def test_is_deterministic_and_treats_each_image_alone(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    settle(network, image, tokens)
    with torch.inference_mode():
        together = network(image, tokens)
        again = network(image, tokens)
        alone = network(image[1:], tokens[1:])
    for head in HEADS:
        assert torch.equal(together[head], again[head])
        torch.testing.assert_close(together[head][1:], alone[head], rtol=1e-4, atol=1e-5)


def test_its_folded_form_is_the_same_function(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    settle(network, image, tokens)
    folded = InferenceNetwork(network)
    with torch.inference_mode():
        plain, fast = network(image, tokens), folded(image, tokens)
    assert plain.keys() == fast.keys()
    for head in HEADS:
        peak = max(1.0, plain[head].abs().max().item())
        torch.testing.assert_close(fast[head], plain[head], rtol=1e-5, atol=1e-5 * peak)
    assert (folded.reads_tokens, folded.tile_px, folded.grid_px) == (
        network.reads_tokens,
        network.tile_px,
        network.grid_px,
    )


def test_listens_to_tokens_if_and_only_if_it_says_so(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    settle(network, image, tokens)
    with torch.inference_mode():
        one, other = (network(image, x)["nuclei"] for x in (tokens, tokens.flip(0)))
    assert torch.equal(one, other) != network.reads_tokens
    if network.reads_tokens:
        with pytest.raises(ValueError, match="tokens"):
            network(image, None)
    else:
        with torch.inference_mode():
            assert torch.equal(network(image, None)["nuclei"], one)


def test_gradient_reaches_every_parameter(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    for name, parameter in network.named_parameters():
        # At this width a squeeze has a hidden unit or two: keep their ReLU open.
        if name.endswith("squeeze.bias"):
            nn.init.ones_(parameter)
    network.train()
    outputs = network(image, tokens)
    generator = torch.Generator().manual_seed(3)
    loss = sum((x * torch.randn(x.shape, generator=generator)).sum() for x in outputs.values())
    assert isinstance(loss, Tensor)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Batch norm takes a constant away: biases before it have no gradient by right.
        assert parameter.ndim == 1 or parameter.grad.any(), name


def test_can_be_trained_after_it_has_predicted(
    network: nn.Module, image: Tensor, tokens: Tensor
) -> None:
    # A size that no other test has: whatever is cached by size is made while predicting.
    image, tokens = image[..., :37, :51], tokens[..., :9, :13]
    with torch.inference_mode():
        network.eval()(image, tokens)
    network.train()(image, tokens)["nuclei"].sum().backward()


def test_says_how_it_may_be_cut_into_regions(network: nn.Module) -> None:
    assert network.tile_px in (None, 256)
    assert isinstance(network.grid_px, int)
    assert network.grid_px % 16 == 0

"""Every network in the registry keeps the contract that the predictor and the training rely on."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fixtures.variants import HEADS, VARIANTS, build_variant
from nuguide.errors import ModelError
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import ARCHITECTURES, build_network

SIZE = (41, 70)


@pytest.fixture(params=VARIANTS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_variant(request.param)


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


class Copies(TorchDispatchMode):
    """Keeps what copies between devices."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, output)) if isinstance(x, Tensor)]
        if len({x.device for x in tensors}) > 1:
            self.seen.append(str(function))
        return output


def test_nothing_is_copied_to_the_device_or_read_from_it(network: nn.Module) -> None:
    # Either would wait for a GPU, and no CUDA graph can hold it. Where there is no GPU, "meta" is
    # another device too, and refuses by itself to tell a value.
    folded = InferenceNetwork(network).to("meta")
    image, tokens = torch.empty(1, 3, *SIZE), torch.empty(1, 256, 40, 72)
    image, tokens = image.to("meta"), tokens.to("meta")
    folded(image, tokens)  # what is cached by size is copied once
    with Copies() as copies:
        folded(image, tokens)
    assert copies.seen == []

import pytest
import torch
from torch import Tensor, nn

from nuguide.networks.inference import InferenceNetwork, folded
from nuguide.networks.registry import build_network
from nuguide.networks.upsampled_conv import UpsampledConv2d


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize("convolution", [nn.Conv2d(3, 5, 3, padding=1), UpsampledConv2d(3, 5, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_becomes_part_of_its_convolution(convolution: nn.Module, bias: bool) -> None:
    torch.manual_seed(0)
    if not bias and isinstance(convolution, nn.Conv2d):
        convolution = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    norm = nn.BatchNorm2d(5)
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.2, 2)
    pair = nn.Sequential(convolution, norm).eval()
    x = torch.randn(2, 3, 7, 9)
    fast = folded(pair)
    assert norms(fast) == 0
    torch.testing.assert_close(fast(x), pair(x), rtol=1e-5, atol=1e-5)


def test_a_norm_that_follows_no_convolution_stays() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5)).eval()
    assert norms(folded(chain)) == 1


def test_the_network_itself_is_left_as_it_is() -> None:
    network = build_network("eunet3plus", width=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = InferenceNetwork(network)
    assert norms(fast) == 0
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_it_cannot_be_trained() -> None:
    fast = InferenceNetwork(build_network("unet", width=2))
    assert not fast.training
    assert not any(p.requires_grad for p in fast.parameters())
    with pytest.raises(ValueError, match="plain form"):
        fast.train()
    assert fast.eval() is fast


def test_any_layout_of_the_image_gives_the_same() -> None:
    torch.manual_seed(0)
    fast = InferenceNetwork(build_network("eunet3plus", width=2))
    image: Tensor = torch.rand(2, 3, 33, 18)
    other = image.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(image)["nuclei"], fast(other)["nuclei"], rtol=0, atol=0)

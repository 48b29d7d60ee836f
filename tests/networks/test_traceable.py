"""The form for traces: the same function, whatever the size that was traced."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from nuguide.networks.blocks import pad_to_multiple, pad_tokens
from nuguide.networks.inference import folded
from nuguide.networks.registry import build_network
from nuguide.networks.traceable import BlockedUpsampledConv2d, traceable
from nuguide.networks.upsampled_conv import UpsampledConv2d


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(("cells", "size"), [(1, (1, 1)), (1, (3, 5)), (2, (2, 6)), (4, (12, 4))])
def test_blocks_give_what_the_convolution_gives(
    scale: int, cells: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    plain = UpsampledConv2d(5, 3, scale)
    nn.init.normal_(plain.bias)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        blocked = BlockedUpsampledConv2d(plain, cells)(x)
        torch.testing.assert_close(blocked, plain(x), rtol=1e-5, atol=1e-5)


def test_the_network_itself_is_left_as_it_is() -> None:
    network = build_network("eunet3plus", width=2)
    copy = traceable(folded(network))
    assert not any(isinstance(part, UpsampledConv2d) for part in copy.modules())
    assert any(isinstance(part, UpsampledConv2d) for part in network.modules())
    assert network.training


class Padding(nn.Module):
    """What networks do to sizes that they cannot halve."""

    def forward(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        padded = pad_to_multiple(image, 16)
        sizes = [(x.shape[2], x.shape[3]) for x in (image, padded)]
        return padded, pad_tokens(tokens, *sizes)


def test_a_trace_pads_every_size_as_it_needs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(
            Padding(), (torch.rand(1, 3, 32, 48), torch.rand(1, 2, 8, 12)), check_trace=False
        )
    for height, width in ((16, 32), (33, 50), (7, 64)):
        pair = (
            torch.rand(1, 3, height, width),
            torch.rand(1, 2, -(-height // 4), -(-width // 4)),
        )
        for one, other in zip(traced(*pair), Padding()(*pair), strict=True):
            assert torch.equal(one, other)

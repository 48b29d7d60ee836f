import pytest
import torch
from torch import nn

from nuguide.errors import ModelError
from nuguide.networks.registry import build_network
from nuguide.networks.unet import UNet, UNetEncoder, Upsampling, level_widths


def test_encoder_halves_the_maps_and_doubles_the_channels() -> None:
    maps = UNetEncoder(level_widths(2))(torch.rand(1, 3, 64, 32))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (2, 64, 32),
        (4, 32, 16),
        (8, 16, 8),
        (16, 8, 4),
        (32, 4, 2),
    ]


@pytest.mark.parametrize("upsampling", Upsampling)
def test_upsampling_doubles_a_map(upsampling: Upsampling) -> None:
    assert upsampling.module(8, 4)(torch.rand(1, 8, 5, 7)).shape == (1, 4, 10, 14)


def test_every_encoder_level_reaches_the_output() -> None:
    network = UNet(width=2).train()
    encoded = network.encoder(torch.rand(2, 3, 32, 32))
    for x in encoded:
        x.retain_grad()
    network.decoder(encoded).pow(2).sum().backward()
    assert all(x.grad is not None and x.grad.any() for x in encoded)


def test_a_padded_edge_is_the_repeated_edge() -> None:
    torch.manual_seed(0)
    network = UNet(width=2).eval()
    image = torch.rand(1, 3, 16, 24)
    padded = nn.functional.pad(image, (0, 8, 0, 0), mode="replicate")
    with torch.inference_mode():
        assert torch.equal(network(image)["nuclei"], network(padded)["nuclei"][..., :24])


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"upsampling": "nearest"}, {"heads": ("colour",)}, {"depth": 3}]
)
def test_a_wrong_option_is_one_line(options: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="unet"):
        build_network("unet", **options)

import torch

from nuguide.networks.ddunet import DualDecoderUNet


def test_the_decoders_share_nothing_but_the_encoder() -> None:
    torch.manual_seed(0)
    network = DualDecoderUNet(width=2).train()
    network(torch.rand(2, 3, 32, 32))["distance"].pow(2).sum().backward()
    assert all(p.grad is None for p in network.decoders["nuclei"].parameters())
    assert all(p.grad is not None for p in network.decoders["distance"].parameters())
    assert all(p.grad is not None for p in network.encoder.parameters())


def test_published_heads_are_the_default() -> None:
    outputs = DualDecoderUNet(width=2).eval()(torch.rand(1, 3, 20, 33))
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "nuclei": (1, 2, 20, 33),
        "distance": (1, 1, 20, 33),
    }

"""The fast form is the published function: it equals the plain form that the benchmarks time."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.inference import InferenceNetwork

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "plain_form.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plain_form", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fusion": "released"},
        {"fusion": "released", "multi_level": True},
        {"fusion": "paper"},
        {"fusion": "cross", "fusion_level": 3},
        {"fusion": "cross", "fusion_level": 3, "multi_level": True},
        {"activation": "relu", "pooling": "max"},
        {"pooling": "blur_max"},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(67, 41), (256, 256)], ids=str)
def test_the_fast_form_equals_the_plain_one(
    benchmark: ModuleType, options: dict[str, Any], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = EUNet3Plus(width=4, heads=("nuclei", "distance"), dropout=0, **options)
    image, tokens = torch.rand(2, 3, *size), torch.randn(2, 256, size[0] // 4, size[1] // 4)
    with torch.no_grad():
        network(image, tokens)  # batch norm gets the statistics of real maps
    network.eval()
    plain = benchmark.plain_form(network)
    assert not any("UpsampledConv2d" in type(part).__name__ for part in plain.modules())
    with torch.inference_mode():
        expected, found = plain(image, tokens), InferenceNetwork(network)(image, tokens)
    for head, logits in expected.items():
        torch.testing.assert_close(found[head], logits, rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_plain_form(benchmark: ModuleType) -> None:
    torch.manual_seed(0)
    network = EUNet3Plus(width=2, dropout=0).double()
    plain: nn.Module = benchmark.plain_form(network)
    image = torch.rand(2, 3, 48, 64, dtype=torch.double)
    weighting = torch.randn(2, 2, 48, 64, dtype=torch.double)
    for each in (network, plain):
        (each(image)["nuclei"] * weighting).sum().backward()
    expected = dict(plain.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-6, atol=1e-9)

"""How much work the networks do, counted and not timed: what once was saved stays saved."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import build_network


def operations(network: nn.Module, side: int) -> int:
    """Count multiplications and additions of one image of ``side`` px."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    return int(counter.get_total_flops())


def eunet(width: int, **options: Any) -> InferenceNetwork:
    return InferenceNetwork(build_network("eunet3plus", width=width, **options))


def test_an_image_takes_less_than_two_thirds_of_the_plain_forms_operations() -> None:
    # The plain form, which convolves enlarged maps, takes 0.428 GFLOP for 64 x 64 px.
    assert operations(eunet(8), 64) < 0.62 * 0.428e9


def test_work_grows_with_the_area() -> None:
    network = eunet(2)
    assert operations(network, 256) == pytest.approx(4 * operations(network, 128), rel=0.02)


def test_a_second_head_costs_its_own_channels_only() -> None:
    one, two = (eunet(2, heads=heads) for heads in (("nuclei",), ("nuclei", "distance")))
    head = 2 * 9 * 10 * 128**2  # ten channels in, one out
    assert operations(two, 128) - operations(one, 128) == head

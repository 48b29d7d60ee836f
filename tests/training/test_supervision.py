"""The options of U-Net3+ learn from the losses: every part has a gradient, the gate is right."""

import pytest
import torch
from torch import Tensor

from nuguide.networks.unet3plus import UNet3Plus
from nuguide.training import losses
from nuguide.training.recipe_parts import Losses


def crops(count: int, seed: int, with_empty: bool) -> tuple[Tensor, Tensor]:
    """Draw dark squares on bright noise, in every crop or in every other: (B, 3, 32, 32), truth."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.8 + 0.05 * torch.randn(count, 3, 32, 32, generator=generator)
    truth = torch.zeros(count, 32, 32, dtype=torch.int64)
    for number in range(0, count, 2 if with_empty else 1):
        y, x = torch.randint(2, 20, (2,), generator=generator).tolist()
        truth[number, y : y + 10, x : x + 10] = 1
    return (image - 0.5 * truth[:, None]).clamp(0, 1), truth


def loss_of(network: UNet3Plus, image: Tensor, truth: Tensor) -> Tensor:
    """Return the loss of a recipe's own weights."""
    found = losses.terms(network.train()(image), {"nuclei": truth}, None, Losses())
    return torch.stack(list(found.values())).sum()


def test_every_part_of_the_network_has_a_gradient():
    torch.manual_seed(0)
    network = UNet3Plus(width=2, deep_supervision=True, classification_guided=True)
    loss_of(network, *crops(4, 0, with_empty=True)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        # Batch norm takes a constant away: biases before it have no gradient by right.
        assert parameter.ndim == 1 or parameter.grad.any(), name


@pytest.mark.parametrize("with_empty", [True, False])
def test_a_short_training_makes_the_gate_right(with_empty: bool):
    """Also where no crop is empty, as in most data sets: then nothing is silenced."""
    torch.manual_seed(0)
    network = UNet3Plus(width=2, deep_supervision=True, classification_guided=True)
    unseen, truth = crops(16, 999, with_empty)
    holds_any = truth.flatten(1).any(1)

    def is_open() -> Tensor:
        with torch.no_grad():
            return network.eval()(unseen)["nuclei"].amin((1, 2, 3)) > -30

    assert not torch.equal(is_open(), holds_any), "as it is drawn, the gate is wrong"
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(40):
        optimiser.zero_grad()
        loss_of(network, *crops(8, step, with_empty)).backward()
        optimiser.step()
    assert torch.equal(is_open(), holds_any)

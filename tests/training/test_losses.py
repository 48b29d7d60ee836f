import pytest
import torch

from nuguide.training import losses

NAMES = ("cross_entropy", "focal", "dice", "released_dice")


def truth() -> torch.Tensor:
    return torch.randint(0, 2, (2, 6, 5), generator=torch.Generator().manual_seed(0))


def logits_of(truth: torch.Tensor, size: float) -> torch.Tensor:
    """Return logits that say the truth, as surely as ``size`` is large."""
    return torch.stack([1 - 2 * truth, 2 * truth - 1], dim=1) * size


def random_logits() -> torch.Tensor:
    return torch.randn(2, 2, 6, 5, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_match(name: str):
    """0, but for the published code's Dice, which divides by the union and so reaches -1."""
    value = getattr(losses, name)(logits_of(truth(), 50.0), truth())
    assert value.item() == pytest.approx(-1.0 if name == "released_dice" else 0.0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_worse_match_costs_more(name: str):
    loss = getattr(losses, name)
    costs = [loss(logits_of(truth(), size), truth()).item() for size in (5.0, 1.0, 0.0, -1.0, -5.0)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_gradients_equal_finite_differences(name: str):
    logits = random_logits().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: getattr(losses, name)(x, truth()), logits)


def test_gradients_of_distance_and_tokens_equal_finite_differences():
    generator = torch.Generator().manual_seed(2)
    prediction, wanted = torch.randn(2, 2, 1, 4, 3, dtype=torch.double, generator=generator)
    assert torch.autograd.gradcheck(
        lambda x: losses.distance_error(x, wanted[:, 0]), prediction.clone().requires_grad_()
    )
    tokens, others = torch.randn(2, 2, 8, 3, 2, dtype=torch.double, generator=generator)
    assert torch.autograd.gradcheck(
        lambda x: losses.token_error(x, others), tokens.clone().requires_grad_()
    )


def test_distance_and_tokens_are_zero_at_a_perfect_match():
    x = torch.randn(2, 8, 4, 3, generator=torch.Generator().manual_seed(3))
    assert losses.distance_error(x[:, :1], x[:, 0]).item() == 0
    assert losses.token_error(x, x).item() == pytest.approx(0, abs=1e-6)
    assert losses.token_error(-x, x).item() > 2


def test_focal_never_exceeds_the_cross_entropy_it_damps():
    for seed in range(20):
        logits = 5 * torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(seed))
        plain = losses.focal(logits, truth(), gamma=0.0)
        channels = torch.stack([1 - truth(), truth()], dim=1).float()
        binary = torch.nn.functional.binary_cross_entropy_with_logits(logits, channels)
        torch.testing.assert_close(plain, binary)
        assert losses.focal(logits, truth()) <= plain


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_without_nuclei_has_a_finite_loss(name: str):
    nothing = torch.zeros(1, 4, 4, dtype=torch.int64)
    assert getattr(losses, name)(logits_of(nothing, 50.0), nothing).isfinite()
    assert losses.dice(logits_of(nothing, 50.0), nothing).item() == pytest.approx(0, abs=1e-6)

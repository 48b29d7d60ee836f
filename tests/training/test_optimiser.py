import pytest
import torch

from nuguide.training.module import SegmentationTraining
from nuguide.training.optimiser import optimiser_of


def moved(recipe, gradient: float) -> float:
    """Return how far one step moves a weight of 1, in units of the learning rate."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = optimiser_of(recipe, [weight])
    weight.grad = torch.full((1,), gradient)
    optimiser.step()
    return (1 - weight.item()) / recipe.learning_rate


def test_adamw_shrinks_weights_and_adam_adds_the_decay_to_the_gradient(make_segmentation):
    adamw, adam = (
        make_segmentation(optimiser=name, learning_rate=0.01, weight_decay=0.1)
        for name in ("adamw", "adam")
    )
    assert moved(adamw, 0.0) == pytest.approx(0.1, rel=1e-3), "by the decay"
    assert moved(adam, 0.0) == pytest.approx(1.0, rel=1e-3), "a whole step along it"
    assert moved(adamw, -0.1) == pytest.approx(-1 + 0.1, rel=1e-3)
    assert moved(adam, -0.1) == pytest.approx(0.0, abs=1e-3), "decay and gradient cancel out"


def test_a_training_takes_optimiser_and_schedule_of_its_recipe(make_segmentation, sample):
    def rates(**changes) -> tuple[type, list[float]]:
        recipe = make_segmentation(steps=4, learning_rate=0.5, **changes)
        made = SegmentationTraining(recipe, [sample], [sample]).configure_optimizers()
        optimiser, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
        found = []
        for _ in range(5):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        return type(optimiser), found

    kind, constant = rates(optimiser="adam", schedule="constant", warmup_steps=0)
    assert kind is torch.optim.Adam
    assert constant == [0.5] * 5
    kind, cosine = rates(warmup_steps=0)
    assert kind is torch.optim.AdamW
    assert cosine == pytest.approx([0.5, 0.427, 0.25, 0.073, 0.0], abs=1e-3)

"""The optimisers of recipes; they differ in what weight decay means."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from nuguide.training.recipe import Recipe


def optimiser_of(recipe: "Recipe", parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the recipe's optimiser of some parameters.

    ``adam`` adds the decay to the gradient (L2 regularisation, Kingma and Ba, ICLR 2015), where
    the second moment scales it down again; ``adamw`` shrinks the weights themselves (Loshchilov
    and Hutter, ICLR 2019).
    """
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    chosen = kinds[recipe.optimiser]
    return chosen(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)

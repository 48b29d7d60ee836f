"""What a device does best in training: the format of numbers, the layout of maps."""

from contextlib import AbstractContextManager
from typing import Literal

import torch

from nuguide.networks.bfloat16 import computes_bfloat16

Precision = Literal["32", "bf16"]
"""``bf16``: the network alone computes in bfloat16; weights, losses and averages stay float32."""

PRECISION_KEY = "nuguide_precision"
"""In a checkpoint: the ``Precision`` that its run was trained with."""


def chosen_precision(asked: Literal["auto", "32", "bf16"], device: torch.device) -> Precision:
    """Return the precision to train with; ``auto`` is bfloat16 where it is computed in hardware."""
    if asked != "auto":
        return asked
    return "bf16" if computes_bfloat16(device) else "32"


def in_precision(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Compute what is inside in a precision; what comes out may be bfloat16."""
    # No weight is used twice, so there is nothing to keep; a graph of a GPU could not, either.
    return torch.autocast(
        device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
    )


def training_layout(device: torch.device) -> torch.memory_format:
    """Return how maps lie in memory: tensor cores read channels last, a CPU trains faster without.

    (Inference on a CPU is another matter: see ``nuguide.networks.inference``.)
    """
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format

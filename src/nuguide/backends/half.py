"""bfloat16: three digits instead of seven, where the hardware computes it."""

import torch
from torch import Tensor

from nuguide.backends.whole import Recomputed
from nuguide.errors import InputError
from nuguide.networks.bfloat16 import computes_bfloat16
from nuguide.networks.cuda_graphs import GraphedNetwork


class HalfNetwork(Recomputed, GraphedNetwork):
    """A network whose convolutions and products are computed in bfloat16."""

    def compute(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits, float32, launch by launch."""
        # A weight that is cast is not kept: a graph would go on reading it where it was.
        with torch.autocast(image.device.type, torch.bfloat16, cache_enabled=False):
            outputs = self.network(image, tokens)
        return {head: x.float() for head, x in outputs.items()}


def check_hardware(device: torch.device) -> None:
    """Refuse a device that only imitates bfloat16, which is slower than float32.

    Raises
    ------
    InputError
        If it does.
    """
    if not computes_bfloat16(device):
        raise InputError(
            f"this machine's {device.type} does not compute bfloat16 in hardware; expected one "
            "with AVX512-BF16, AMX or a recent GPU for the backend bfloat16; leave --backend out"
        )

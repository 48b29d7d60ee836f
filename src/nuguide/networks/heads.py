"""Heads: what a network says of each pixel.

``nuclei``
    2 channels, background and nucleus, as published; a sigmoid per channel, label = argmax.
``distance``
    1 channel: the distance to the nucleus' border divided by the nucleus' largest, 0 outside and
    1 at the centre; regressed as it is, without activation.
``offsets``
    2 channels (y, x): how far a pixel lies from its nucleus' centre, divided by the nucleus' own
    reach to that side, 0 outside and -1..1 inside (the maps of HoVer-Net); regressed as they are.

``distance`` and ``offsets`` are two designs of one thing, what divides nuclei that touch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD_CHANNELS = {"nuclei": 2, "distance": 1, "offsets": 2}
"""Channels of each head by name."""


class Heads(nn.ModuleDict):
    """A Conv3x3 for each named head over one map, (B, C, H, W) -> {name: (B, channels, H, W)}."""

    def __init__(self, in_channels: int, names: Sequence[str]):
        unknown = [name for name in names if name not in HEAD_CHANNELS]
        if unknown or not names:
            raise ValueError(f"heads {list(names)}; expected some of {sorted(HEAD_CHANNELS)}")
        super().__init__(
            {name: nn.Conv2d(in_channels, HEAD_CHANNELS[name], 3, padding=1) for name in names}
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the logits of every head."""
        # One convolution for all: a channel or two alone cost as much as many together.
        weight = torch.cat([self.get_parameter(f"{name}.weight") for name in self])
        bias = torch.cat([self.get_parameter(f"{name}.bias") for name in self])
        made = F.conv2d(x, weight, bias, padding=1)
        channels = [HEAD_CHANNELS[name] for name in self]
        return dict(zip(self, torch.split(made, channels, dim=1), strict=True))

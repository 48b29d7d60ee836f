"""Heads: what a network says of each pixel.

``nuclei``
    2 channels, background and nucleus, as published; a sigmoid per channel, label = argmax.
``distance``
    1 channel: the distance to the nucleus' border divided by the nucleus' largest, 0 outside and
    1 at the centre; regressed as it is, without activation.
"""

from collections.abc import Sequence

from torch import Tensor, nn

HEAD_CHANNELS = {"nuclei": 2, "distance": 1}
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
        return {name: head(x) for name, head in self.items()}

"""Heads: what a network says of each pixel.

``nuclei``
    2 channels, background and nucleus, as published; a sigmoid per channel, label = argmax.
``distance``
    1 channel: the distance to the nucleus' border divided by the nucleus' largest, 0 outside and
    1 at the centre; regressed as it is, without activation.
``offsets``
    2 channels (y, x): how far a pixel lies from its nucleus' centre, divided by the nucleus' own
    reach to that side, 0 outside and -1..1 inside (the maps of HoVer-Net); regressed as they are.

``types``
    A channel for each type of nucleus, not for background; a softmax over them says of which type
    a pixel's nucleus is, wherever it lies in one. Told from the decoder's last map, or from the
    encoder's maps (``EncoderTypes``).

``distance`` and ``offsets`` are two designs of one thing, what divides nuclei that touch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.encoder_types import EncoderTypes

HEAD_CHANNELS = {"nuclei": 2, "distance": 1, "offsets": 2}
"""Channels of each head by name; ``types`` has as many as there are types."""

HEADS = (*HEAD_CHANNELS, "types")
"""All heads, in the order in which a graph returns them."""


class Heads(nn.ModuleDict):
    """A Conv3x3 for each named head over one map, (B, C, H, W) -> {name: (B, channels, H, W)}.

    Parameters
    ----------
    in_channels : int
        C of the map.
    names : sequence of str
        Out of ``HEADS``.
    n_types : int
        Channels of the head ``types``; 0 without it.
    encoder : sequence of int, optional
        Channels of the encoder's maps, finest first, where ``types`` reads those.
    """

    def __init__(
        self,
        in_channels: int,
        names: Sequence[str],
        n_types: int = 0,
        encoder: Sequence[int] | None = None,
    ):
        unknown = [name for name in names if name not in HEADS]
        if unknown or not names:
            raise ValueError(f"heads {list(names)}; expected some of {sorted(HEADS)}")
        if ("types" in names) != (n_types >= 2):
            raise ValueError(
                f"heads {list(names)} with n_types {n_types}; expected 2 types or more with the "
                "head 'types', and 0 without"
            )
        self.reads_encoder = encoder is not None and "types" in names
        self.channels = {
            name: HEAD_CHANNELS.get(name, n_types)
            for name in names
            if not (self.reads_encoder and name == "types")
        }
        if not self.channels:
            raise ValueError(f"heads {list(names)}; expected one beside 'types' of the encoder")
        super().__init__(
            {
                name: nn.Conv2d(in_channels, count, 3, padding=1)
                for name, count in self.channels.items()
            }
        )
        if encoder is not None and self.reads_encoder:
            self["types"] = EncoderTypes(encoder, n_types)

    def forward(self, x: Tensor, encoded: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """Return the logits of every head; ``encoded``, the encoder's maps, if one reads them."""
        # One convolution for all: a channel or two alone cost as much as many together.
        weight = torch.cat([self.get_parameter(f"{name}.weight") for name in self.channels])
        bias = torch.cat([self.get_parameter(f"{name}.bias") for name in self.channels])
        made = F.conv2d(x, weight, bias, padding=1)
        parts = torch.split(made, list(self.channels.values()), dim=1)
        outputs = dict(zip(self.channels, parts, strict=True))
        if self.reads_encoder:
            outputs["types"] = self["types"](encoded)
        return outputs

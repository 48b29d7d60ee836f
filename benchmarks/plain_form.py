"""The published network in its plain form: what the product computes, computed as it was released.

Every coarse map is enlarged before it is convolved, every finer one is pooled for each level anew,
batch norm stands by itself, maps lie channel by channel.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.full_scale_decoder import FullScaleDecoder, FullScaleLevel
from nuguide.networks.upsampled_conv import UpsampledConv2d


class EnlargedConv2d(nn.Module):
    """Bilinear enlargement, then Conv3x3: the weights of an ``UpsampledConv2d``."""

    def __init__(self, convolution: UpsampledConv2d):
        super().__init__()
        self.scale = convolution.scale
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge, then convolve."""
        large = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return F.conv2d(large, self.weight, self.bias, padding=1)


class PlainDecoder(nn.Module):
    """The full-scale decoder branch by branch."""

    def __init__(self, decoder: FullScaleDecoder):
        super().__init__()
        self.levels = decoder.levels

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """Decode as ``FullScaleDecoder`` does."""
        maps = list(encoded)
        for index in reversed(range(len(self.levels))):
            finer = [
                F.max_pool2d(x, 2 ** (index - source), ceil_mode=True) if source < index else x
                for source, x in enumerate(encoded[: index + 1])
            ]
            maps[index] = self._level(self.levels[index], [*finer, *maps[index + 1 :]])
        return maps

    @staticmethod
    def _level(level: FullScaleLevel, sources: Sequence[Tensor]) -> Tensor:
        parts = [branch(x) for branch, x in zip(level.branches, sources, strict=True)]
        joined: Tensor = level.join(torch.cat(parts, dim=1))
        return joined


def plain_form(network: EUNet3Plus) -> EUNet3Plus:
    """Return a copy of a network in the plain form; it has the same weights."""
    plain = deepcopy(network)
    for parent in list(plain.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpsampledConv2d):
                setattr(parent, name, EnlargedConv2d(child))
            elif isinstance(child, FullScaleDecoder):
                setattr(parent, name, PlainDecoder(child))
    return plain

"""The full-scale decoder of U-Net3+: every level reads every scale.

Huang et al., "UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation", ICASSP 2020,
eq. 1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.upsampled_conv import UpsampledConv2d


class Branch(nn.Sequential):
    """One source brought to one level: resample -> Conv3x3 -> batch norm -> ReLU.

    Max-pooling is left to the decoder, which pools each map once for all levels.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the source and of the branch.
    shift : int
        Level of the source minus level of the target. Negative: a finer map, given max-pooled by
        ``2**-shift``; zero: as it is; positive: a coarser map, enlarged bilinearly by ``2**shift``.
    """

    def __init__(self, in_channels: int, out_channels: int, shift: int):
        convolution: list[nn.Module]
        if shift > 0:
            convolution = [UpsampledConv2d(in_channels, out_channels, 2**shift)]
        else:
            plain = nn.Conv2d(in_channels, out_channels, 3, padding=1)
            # The place of the pooling is kept: names of weights, here and published, count it.
            convolution = [nn.Identity(), plain] if shift else [plain]
        super().__init__(*convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))

    @property
    def convolution(self) -> nn.Module:
        """The convolution, whichever way it is computed."""
        return self[-3]

    @property
    def norm(self) -> nn.Module:
        """The batch norm after it."""
        return self[-2]


class FullScaleLevel(nn.Module):
    """One decoder level: a branch for each scale, joined by Conv3x3 -> batch norm -> ReLU."""

    def __init__(self, level: int, source_widths: Sequence[int], branch_width: int):
        super().__init__()
        self.branches = nn.ModuleList(
            Branch(width, branch_width, source - level)
            for source, width in enumerate(source_widths, start=1)
        )
        joined = branch_width * len(source_widths)
        self.join = nn.Sequential(
            nn.Conv2d(joined, joined, 3, padding=1),
            nn.BatchNorm2d(joined),
            nn.ReLU(inplace=True),
        )
        self.level, self.joined_channels = level, joined

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """Join the sources, finest first.

        Parameters
        ----------
        sources : sequence of Tensor
            (B, C_s, H, W) of this level's size as far as they are finer (max-pooled to it) or its
            own; the coarser ones (B, C_s, H / 2**(s - level), W / 2**(s - level)).
        """
        pairs = zip(self.branches, sources, strict=True)
        if torch.is_grad_enabled():
            side_by_side = torch.cat([branch(x) for branch, x in pairs], dim=1)
        else:
            # Each branch is written to its place and let go: half the memory, a copy less.
            own = sources[self.level - 1]
            batch, _, *size = own.shape
            channels_last = own.stride(1) == 1
            side_by_side = torch.empty(
                (batch, self.joined_channels, *size),
                dtype=own.dtype,
                device=own.device,
                memory_format=torch.channels_last if channels_last else torch.contiguous_format,
            )
            for (branch, x), place in zip(
                pairs, side_by_side.chunk(len(self.branches), dim=1), strict=True
            ):
                place.copy_(branch(x))
        joined: Tensor = self.join(side_by_side)
        return joined


class FullScaleDecoder(nn.Module):
    """Decoder levels n-1 .. 1 over an encoder of n levels.

    Parameters
    ----------
    encoder_widths : sequence of int
        Channels of the encoder's maps, finest first; the last is the bottleneck.
    branch_width : int
        Channels of each branch; a decoder map has ``n * branch_width``.
    """

    def __init__(self, encoder_widths: Sequence[int], branch_width: int):
        super().__init__()
        n = len(encoder_widths)
        self.out_channels = n * branch_width
        # Level l reads encoder maps 1..l, decoder maps l+1..n-1 and the bottleneck n.
        self.levels = nn.ModuleList(
            FullScaleLevel(
                level,
                [
                    *encoder_widths[:level],
                    *[self.out_channels] * (n - 1 - level),
                    encoder_widths[-1],
                ],
                branch_width,
            )
            for level in range(1, n)
        )

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """Decode the encoder's maps, finest first.

        Returns
        -------
        list of Tensor
            Decoder maps of levels 1 .. n-1, (B, n * branch_width, H / 2**(l-1), W / 2**(l-1)),
            then the bottleneck itself.
        """
        finer = _pooled(encoded[:-1])
        maps = list(encoded)
        for index in reversed(range(len(self.levels))):
            maps[index] = self.levels[index]([*finer[index], *maps[index + 1 :]])
        return maps


def _pooled(encoded: Sequence[Tensor]) -> list[list[Tensor]]:
    """Bring the encoder's maps to the levels that read them.

    Returns
    -------
    list of list of Tensor
        For each level of ``encoded`` the maps up to its own, finest first, max-pooled to its size
        (ceil mode). The maximum of maxima is the maximum, so each is pooled from the one before.
    """
    levels: list[list[Tensor]] = []
    for own in encoded:
        finer = [F.max_pool2d(x, 2, ceil_mode=True) for x in levels[-1]] if levels else []
        levels.append([*finer, own])
    return levels

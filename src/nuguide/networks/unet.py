"""U-Net, the plain baseline, and the encoder and decoder that its relatives share.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
"""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn

from nuguide.networks.blocks import Activation, DoubleConv, Pooling, initialise, pad_to_multiple
from nuguide.networks.heads import Heads
from nuguide.networks.registry import register_network

LEVELS = 5
"""Levels of the encoder; the coarsest map is 16 times smaller than the image."""

STRIDE = 2 ** (LEVELS - 1)
"""Px of the image under one px of the bottleneck."""


def level_widths(width: int) -> tuple[int, ...]:
    """Return the channels of the levels, ``width`` * (1, 2, 4, 8, 16).

    Raises
    ------
    ValueError
        If ``width`` is less than 1.
    """
    if width < 1:
        raise ValueError(f"width {width}; expected 1 or more channels at the finest level")
    return tuple(width * 2**level for level in range(LEVELS))


class Upsampling(StrEnum):
    """How a decoder doubles its maps.

    ``transposed`` is the paper's up-convolution (kernel 2, stride 2); ``bilinear`` enlarges first
    and halves the channels by a 1x1 convolution, which leaves no checkerboard.
    """

    TRANSPOSED = "transposed"
    BILINEAR = "bilinear"

    def module(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a fresh module, (B, in, h, w) -> (B, out, 2h, 2w)."""
        if self is Upsampling.TRANSPOSED:
            return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        )


class UNetEncoder(nn.Module):
    """Five levels of two Conv3x3 -> batch norm -> ReLU, max-pooled by two in between."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        inputs = (3, *widths[:-1])
        self.levels = nn.ModuleList(
            DoubleConv(before, after, Activation.RELU)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.pool = Pooling.MAX.module()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of all levels, finest first, (B, widths[l], H / 2**l, W / 2**l)."""
        maps: list[Tensor] = []
        x = image
        for index, level in enumerate(self.levels):
            x = level(self.pool(x) if index else x)
            maps.append(x)
        return maps


class UNetDecoder(nn.Module):
    """From the bottleneck up: enlarge, join the encoder's map of that level, two convolutions."""

    def __init__(self, widths: Sequence[int], upsampling: Upsampling):
        super().__init__()
        pairs = list(zip(widths[1:], widths[:-1], strict=True))  # (coarse, fine), finest first
        self.ups = nn.ModuleList(upsampling.module(coarse, fine) for coarse, fine in pairs)
        self.joins = nn.ModuleList(DoubleConv(2 * fine, fine, Activation.RELU) for _, fine in pairs)

    def forward(self, encoded: Sequence[Tensor]) -> Tensor:
        """Return the finest map, (B, widths[0], H, W)."""
        x = encoded[-1]
        for index in reversed(range(len(self.ups))):
            x = self.joins[index](torch.cat([encoded[index], self.ups[index](x)], dim=1))
        return x


@register_network("unet")
class UNet(nn.Module):
    """U-Net of five levels without a guide.

    Parameters
    ----------
    width : int
        Channels of the finest level, c; the levels have c * (1, 2, 4, 8, 16). The paper's is 64.
    heads : sequence of str
        Names of ``nuguide.networks.heads``.
    n_types : int
        Types of nuclei that the head ``types`` tells apart; 0 without it.
    upsampling : str
        A value of ``Upsampling``.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px : bool, None, int
        As in ``nuguide.networks.eunet3plus``: no guide, regions of any size on a grid of 16 px.

    Notes
    -----
    Unlike the paper's: padded convolutions (the output is as large as the image), batch norm, and
    Kaiming-normal initialisation.
    """

    def __init__(
        self,
        width: int = 32,
        heads: Sequence[str] = ("nuclei",),
        upsampling: str = Upsampling.TRANSPOSED,
        n_types: int = 0,
    ):
        super().__init__()
        widths = level_widths(width)
        self.encoder = UNetEncoder(widths)
        self.decoder = UNetDecoder(widths, Upsampling(upsampling))
        self.heads = Heads(widths[0], heads, n_types)
        self.reads_tokens, self.tile_px, self.grid_px = False, None, STRIDE
        initialise(self)

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, 0..1; any H and W.
        tokens : Tensor, optional
            Taken for the contract's sake and not read: this network has no guide.

        Returns
        -------
        dict of str to Tensor
            Each head's logits, (B, channels, H, W).
        """
        height, width = image.shape[-2:]
        x = self.decoder(self.encoder(pad_to_multiple(image, STRIDE)))
        return {name: y[..., :height, :width] for name, y in self.heads(x).items()}

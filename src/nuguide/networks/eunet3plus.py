"""eU-Net3+: an enhanced U-Net3+ whose features are fused with a guide's tokens.

Swain, Cheoi, Ko, MICCAI 2024: gated (GLU) encoder, max-blur pooling, the full-scale decoder of
U-Net3+, and an X-Gated Fusion Block at the bottleneck.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nuguide.networks.blocks import (
    Activation,
    DoubleConv,
    Pooling,
    initialise,
    pad_to_multiple,
    pad_tokens,
)
from nuguide.networks.full_scale_decoder import FullScaleDecoder
from nuguide.networks.fusion import (
    TOKEN_CHANNELS,
    CrossFusion,
    FusionMode,
    GlobalAttention,
    PaperFusion,
    ReleasedFusion,
    SqueezeExcite,
    bring_tokens,
)
from nuguide.networks.heads import Heads
from nuguide.networks.registry import register_network
from nuguide.networks.unet import LEVELS, STRIDE, level_widths


@register_network("eunet3plus")
class EUNet3Plus(nn.Module):
    """The enhanced U-Net3+, of any width, guided in any of the modes of ``FusionMode``.

    Parameters
    ----------
    width : int
        c: the encoder has c * (1, 2, 4, 8, 16) channels (published: 32).
    heads : sequence of str
        Names out of ``nuguide.networks.heads``.
    n_types : int
        Types of nuclei that the head ``types`` tells apart; 0 without it.
    types_from : {"decoder", "encoder"}
        What that head reads: the map that the other heads read, or the encoder's
        (``nuguide.networks.encoder_types``).
    fusion : str
        A ``FusionMode``. In mode ``distil`` a light head on the encoder's map at ``fusion_level``
        predicts the guide's tokens: in training mode the output has an entry ``tokens``
        (B, 256, H/s, W/s), s = 2**(level - 1), and nothing is added at inference.
    fusion_level : int
        Level at which ``cross`` fuses and ``distil`` predicts; 5 is the bottleneck. The
        ``released`` and ``paper`` blocks stand at the bottleneck always.
    window, tokens_per_position : int
        Of ``CrossFusion``.
    token_noise, token_dropout : float
        Of ``CrossFusion``, in training.
    multi_level : bool
        More than one level is guided, and a guided map feeds both the next level and the decoder.
        Mode ``released``: squeeze-and-excitation gates at all five levels; ``cross``: a block of
        its own at ``fusion_level`` and at each coarser one.
    activation, pooling : str
        An ``Activation`` and a ``Pooling``, of the encoder.
    dropout : float
        Share of the bottleneck's channels dropped in training.

    Attributes
    ----------
    reads_tokens : bool
        Whether ``forward`` needs tokens.
    tile_px : int or None
        256 for modes that pool over the whole image: they are run tile by tile.
    grid_px : int
        Offsets of regions must be multiples of this, so that a pixel sees the same windows of
        attention in whichever region it is read.

    Notes
    -----
    The decoder is ReLU whatever the encoder's activation, as released.
    """

    def __init__(
        self,
        width: int = 32,
        heads: Sequence[str] = ("nuclei",),
        fusion: str = "none",
        fusion_level: int = LEVELS,
        window: int = 8,
        tokens_per_position: int = 1,
        multi_level: bool = False,
        activation: str = "glu",
        pooling: str = "max_blur",
        dropout: float = 0.3,
        token_noise: float = 0.0,
        token_dropout: float = 0.0,
        n_types: int = 0,
        types_from: str = "decoder",
    ):
        super().__init__()
        self.fusion = FusionMode(fusion)
        if not 1 <= fusion_level <= LEVELS:
            raise ValueError(f"fusion_level {fusion_level}; expected 1 to {LEVELS}")
        if multi_level and self.fusion not in (FusionMode.RELEASED, FusionMode.CROSS):
            raise ValueError(
                f"multi_level with fusion {fusion!r}; expected fusion 'released' or 'cross'"
            )
        if types_from not in ("decoder", "encoder"):
            raise ValueError(f"types_from {types_from!r}; expected 'decoder' or 'encoder'")
        widths = level_widths(width)
        self.encoder = nn.ModuleList(
            DoubleConv(before, after, Activation(activation))
            for before, after in zip([3, *widths], widths, strict=False)
        )
        self.pool = Pooling(pooling).module()
        self.dropout = nn.Dropout2d(dropout)
        self.decoder = FullScaleDecoder(widths, width)
        read = widths if types_from == "encoder" else None
        self.heads = Heads(self.decoder.out_channels, heads, n_types, read)
        self.fusion_level = fusion_level if not self.fusion.pools_globally else LEVELS
        crosses = self.fusion is FusionMode.CROSS
        self.gates = MultiLevelGates(widths) if multi_level and not crosses else None
        initialise(self)
        # After the published initialisation: attention brings its own.
        cross: dict[str, Any] = {
            "window": window,
            "tokens_per_position": tokens_per_position,
            "token_noise": token_noise,
            "token_dropout": token_dropout,
        }
        self.fuse = self._fusion_block(widths[self.fusion_level - 1], cross)
        coarser = range(self.fusion_level + 1, LEVELS + 1) if multi_level and crosses else ()
        self.fuse_coarser = nn.ModuleDict(
            {str(level): CrossFusion(widths[level - 1], **cross) for level in coarser}
        )
        self.reads_tokens = self.fusion.reads_tokens
        self.tile_px = 256 if self.fusion.pools_globally else None
        coarsest = LEVELS if coarser else self.fusion_level
        self.grid_px = math.lcm(STRIDE, window * 2 ** (coarsest - 1)) if crosses else STRIDE

    def _fusion_block(self, channels: int, cross: dict[str, Any]) -> nn.Module | None:
        if self.gates is not None:
            return GlobalAttention(channels)
        if self.fusion is FusionMode.RELEASED:
            return ReleasedFusion(channels)
        if self.fusion is FusionMode.PAPER:
            return PaperFusion(channels)
        if self.fusion is FusionMode.CROSS:
            return CrossFusion(channels, **cross)
        if self.fusion is FusionMode.DISTIL:
            return nn.Conv2d(channels, TOKEN_CHANNELS, 1)
        return None

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Segment.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float32, RGB in 0..1 unless the card says otherwise; any H, W.
        tokens : Tensor or None
            (B, 256, h, w): a guide's tokens over exactly the image's extent.

        Returns
        -------
        dict of Tensor
            Logits of each head, (B, channels, H, W).

        Raises
        ------
        ValueError
            If the mode reads tokens and there are none.
        """
        if self.reads_tokens and tokens is None:
            raise ValueError(f"no tokens; fusion {self.fusion.value!r} needs (B, 256, h, w)")
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, STRIDE)
        if tokens is not None:
            tokens = pad_tokens(tokens, (height, width), (padded.shape[2], padded.shape[3]))
        encoded = self.encode(padded, tokens)
        outputs = self.heads(self.decoder(encoded)[0], encoded)
        cropped = {name: x[..., :height, :width] for name, x in outputs.items()}
        if self.training and self.fusion is FusionMode.DISTIL and self.fuse is not None:
            cropped["tokens"] = self.fuse(encoded[self.fusion_level - 1])
        return cropped

    def encode(self, image: Tensor, tokens: Tensor | None) -> list[Tensor]:
        """Return the encoder's fused maps, finest first, (B, c 2**l, H / 2**l, W / 2**l)."""
        maps: list[Tensor] = []
        x = image
        for level, block in enumerate(self.encoder, start=1):
            x = block(self.pool(x) if maps else x)
            if tokens is not None:
                x = self._guide(x, tokens, level)
            maps.append(self.dropout(x) if level == LEVELS else x)
        return maps

    def _guide(self, x: Tensor, tokens: Tensor, level: int) -> Tensor:
        if self.gates is not None:
            x = self.gates(x, tokens, level)
            return self.fuse(x, x) if self.fuse is not None and level == LEVELS else x
        if self.reads_tokens and self.fuse is not None and level == self.fusion_level:
            fused: Tensor = self.fuse(x, tokens)
            return fused
        if str(level) in self.fuse_coarser:
            x = self.fuse_coarser[str(level)](x, tokens)
        return x


class MultiLevelGates(nn.Module):
    """Squeeze-and-excitation by the tokens at all five levels, as in the released code.

    The tokens, 64 x 64 for an image of 256 x 256, are brought to each level by
    ConvTranspose 256->16 k8 s4 p2, ConvTranspose 256->32 k4 s2 p1, Conv1x1 256->64,
    Conv1x1 256->128 and a max-blur pool, and two max-blur pools.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.bring = nn.ModuleList(
            [
                nn.ConvTranspose2d(TOKEN_CHANNELS, 16, 8, stride=4, padding=2),
                nn.ConvTranspose2d(TOKEN_CHANNELS, 32, 4, stride=2, padding=1),
                nn.Conv2d(TOKEN_CHANNELS, 64, 1),
                nn.Conv2d(TOKEN_CHANNELS, 128, 1),
                nn.Identity(),
            ]
        )
        token_widths = (16, 32, 64, 128, TOKEN_CHANNELS)
        self.gate = nn.ModuleList(
            SqueezeExcite(channels, token_channels)
            for channels, token_channels in zip(widths, token_widths, strict=True)
        )

    def forward(self, features: Tensor, tokens: Tensor, level: int) -> Tensor:
        """Gate the map of ``level`` (1 the finest)."""
        brought = self.bring[level - 1](tokens)
        if level > 3:
            brought = bring_tokens(brought, (features.shape[2], features.shape[3]))
        gated: Tensor = self.gate[level - 1](features, brought)
        return gated

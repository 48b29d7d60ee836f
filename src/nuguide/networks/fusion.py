"""X-Gated Fusion Blocks: how a guide's tokens act on a network's features.

All modes take features U (B, C, H, W) and tokens S (B, 256, h, w) over the same tissue and return
features of U's shape.

=============  ==========================================  ======================================
mode           gate                                        attention
=============  ==========================================  ======================================
``released``   squeeze-and-excitation of [U, S]            1 head, Q = gated U, K = V = U
``paper``      the same, then a gated linear unit          1 head, Q = gated U, K = V = U
``cross``      gated linear unit of [U, S] per position    windowed, Q from U, K and V from S
=============  ==========================================  ======================================

``distil`` and ``none`` have no block: see ``nuguide.networks.eunet3plus``.

References
----------
Swain, Cheoi, Ko: SAM Guided Task-Specific Enhanced Nuclei Segmentation in Digital Pathology,
MICCAI 2024; Hu et al.: Squeeze-and-Excitation Networks, CVPR 2018; Dauphin et al.: Language
Modeling with Gated Convolutional Networks (GLU), ICML 2017; Liu et al.: Swin Transformer (windows
of attention), ICCV 2021.
"""

from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.blocks import Blur, is_traced, pad_to_multiple

TOKEN_CHANNELS = 256
"""Channels of every SAM embedding, hence of every guide's tokens."""


class FusionMode(StrEnum):
    """Names of the ways to be guided."""

    RELEASED = "released"
    PAPER = "paper"
    CROSS = "cross"
    DISTIL = "distil"
    NONE = "none"

    @property
    def reads_tokens(self) -> bool:
        """Whether tokens are needed at inference."""
        return self in (FusionMode.RELEASED, FusionMode.PAPER, FusionMode.CROSS)

    @property
    def pools_globally(self) -> bool:
        """Whether the result depends on the extent of the image: run tile by tile."""
        return self in (FusionMode.RELEASED, FusionMode.PAPER)


def bring_tokens(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample tokens (B, C, h, w) to ``size`` (H, W).

    Each halving is a max-pool and a blur, as in the released network (64 to 16 takes two); what
    remains is bilinear.
    """
    blur = Blur()  # not brought to the tokens' device: a copy there would wait for it
    while tokens.shape[-2] >= 2 * size[0] and tokens.shape[-1] >= 2 * size[1]:
        tokens = blur(F.max_pool2d(tokens, 2))
    if is_traced() or tokens.shape[-2:] != size:  # other sizes may need it
        tokens = F.interpolate(tokens, size=size, mode="bilinear", align_corners=False)
    return tokens


class SqueezeExcite(nn.Module):
    """Channel gate g = sigmoid(W2 relu(W1 GAP([U, S]))) applied to U; reduction 16.

    Parameters
    ----------
    channels, token_channels : int
        Channels of U and of S.
    """

    def __init__(self, channels: int, token_channels: int = TOKEN_CHANNELS):
        super().__init__()
        hidden = (channels + token_channels) // 16
        self.squeeze = nn.Conv2d(channels + token_channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Gate ``features`` by what both maps are on average."""
        mean = torch.cat([features.mean((2, 3), True), tokens.mean((2, 3), True)], dim=1)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))
        return gate * features


class GlobalAttention(nn.MultiheadAttention):
    """One-head attention over all positions of a map; its cost grows with the square of area."""

    def __init__(self, channels: int):
        super().__init__(channels, num_heads=1, batch_first=True)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:  # type: ignore[override]
        """Attend from ``query`` to ``context``, both (B, C, H, W); no residual, no norm."""
        q, kv = query.flatten(2).transpose(1, 2), context.flatten(2).transpose(1, 2)
        attended, _ = super().forward(q, kv, kv, need_weights=False)
        return attended.transpose(1, 2).view_as(query)


class ReleasedFusion(nn.Module):
    """The X-GFB as released: S acts through an averaged vector, attention is over U alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.gate = SqueezeExcite(channels)
        self.attention = GlobalAttention(channels)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Fuse; see the table at the head of the file."""
        gated = self.gate(features, bring_tokens(tokens, (features.shape[2], features.shape[3])))
        fused: Tensor = self.attention(gated, features)
        return fused


class PaperFusion(ReleasedFusion):
    """The X-GFB as the paper's figure draws it: squeeze, excite, then a true GLU gate.

    Notes
    -----
    The figure does not show the widths inside the gate; here a 1x1 convolution doubles the
    channels and the GLU halves them again.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.glu = nn.Sequential(nn.Conv2d(channels, 2 * channels, 1), nn.GLU(dim=1))

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Fuse; see the table at the head of the file."""
        gated = self.gate(features, bring_tokens(tokens, (features.shape[2], features.shape[3])))
        fused: Tensor = self.attention(self.glu(gated), features)
        return fused


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def partition(x: Tensor, window: int) -> Tensor:
    """Cut (B, C, H, W) in square windows, (B * windows, window^2, C); H, W are multiples."""
    batch, channels, height, width = x.shape
    rows, columns = height // window, width // window
    x = x.view(batch, channels, rows, window, columns, window)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, window * window, channels)


def unpartition(windows: Tensor, size: tuple[int, int], window: int) -> Tensor:
    """Undo ``partition``: (B * windows, window^2, C) -> (B, C, H, W) with ``size`` (H, W)."""
    rows, columns = size[0] // window, size[1] // window
    x = windows.view(-1, rows, columns, window, window, windows.shape[-1])
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, windows.shape[-1], *size)


class TokenNoise(nn.Module):
    """Makes standardised tokens, (B, C, h, w), less certain in training; evaluation keeps them.

    The few tissues of a training set can be learned by heart by their tokens. With noise no map is
    met twice, and a network that is at times given none keeps a way without.

    Parameters
    ----------
    noise : float
        Standard deviation of Gaussian noise, in that of the tokens; 0: none.
    dropout : float
        Probability that an image is given zeros, the mean of all tokens.
    """

    def __init__(self, noise: float = 0.0, dropout: float = 0.0):
        super().__init__()
        if noise < 0 or not 0 <= dropout <= 1:
            raise ValueError(
                f"token_noise {noise}, token_dropout {dropout}; expected 0 or more, and 0 to 1"
            )
        self.noise, self.dropout = noise, dropout

    def forward(self, tokens: Tensor) -> Tensor:
        """Disturb ``tokens``."""
        if not self.training:
            return tokens
        if self.noise:
            tokens = tokens + self.noise * torch.randn_like(tokens)
        if self.dropout:
            tokens = tokens * (
                tokens.new_empty(tokens.shape[0], 1, 1, 1).uniform_() >= self.dropout
            )
        return tokens


class CrossFusion(nn.Module):
    """X-GFB in which the tokens' map acts: gated per position, then windowed cross-attention.

    With S' the tokens on U's grid, standardised channel by channel (batch norm, no affine part)::

        U1 = U + GLU(W [U, S'])
        U2 = U1 + Wo attention(Q = Wq norm(U1) + p, K = Wk S' + p', V = Wv S')

    Attention runs inside windows of ``window`` x ``window`` positions, so that its cost grows
    linearly with area; p and p' are learned codes of the place within the window.

    Parameters
    ----------
    channels : int
        Channels of U.
    window : int
        Side of a window, positions of U. Windows lie on a grid from the map's top-left corner.
    tokens_per_position : int
        S is resampled to so many tokens along each side of a position of U.
    heads : int
        Attention heads.
    token_noise, token_dropout : float
        Of ``TokenNoise``, in training.

    Raises
    ------
    ValueError
        If ``window`` or ``tokens_per_position`` is less than 1.
    """

    def __init__(
        self,
        channels: int,
        window: int = 8,
        tokens_per_position: int = 1,
        heads: int = 4,
        token_noise: float = 0.0,
        token_dropout: float = 0.0,
    ):
        super().__init__()
        if window < 1 or tokens_per_position < 1:
            raise ValueError(
                f"window {window}, tokens_per_position {tokens_per_position}; expected 1 or more"
            )
        width = max(channels // heads, 8) * heads
        self.window, self.ratio, self.heads = window, tokens_per_position, heads
        # SAM's tokens share a large common part; layer norm would let it drown their differences.
        self.token_norm = nn.BatchNorm2d(TOKEN_CHANNELS, affine=False)
        self.disturb = TokenNoise(token_noise, token_dropout)
        self.gate = nn.Sequential(
            nn.Conv2d(channels + TOKEN_CHANNELS, 2 * channels, 1), nn.GLU(dim=1)
        )
        self.norm = ChannelNorm(channels)
        self.query = nn.Conv2d(channels, width, 1)
        self.key_value = nn.Conv2d(TOKEN_CHANNELS, 2 * width, 1)
        self.out = nn.Conv2d(width, channels, 1)
        self.query_place = nn.Parameter(torch.empty(window**2, width))
        self.key_place = nn.Parameter(torch.empty((window * tokens_per_position) ** 2, width))
        nn.init.trunc_normal_(self.query_place, std=0.02)
        nn.init.trunc_normal_(self.key_place, std=0.02)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Fuse; see the equations above."""
        height, width = features.shape[2:]
        fine = bring_tokens(tokens, (height * self.ratio, width * self.ratio))
        fine = self.disturb(self.token_norm(fine))
        aligned = F.avg_pool2d(fine, self.ratio) if self.ratio > 1 else fine
        features = features + self.gate(torch.cat([features, aligned], dim=1))
        return features + self._attend(self.norm(features), fine)

    def _attend(self, features: Tensor, tokens: Tensor) -> Tensor:
        height, width = features.shape[2:]
        query = pad_to_multiple(self.query(features), self.window)
        key, value = pad_to_multiple(self.key_value(tokens), self.window * self.ratio).chunk(2, 1)
        q = partition(query, self.window) + self.query_place
        k = partition(key, self.window * self.ratio) + self.key_place
        v = partition(value, self.window * self.ratio)
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        size = (query.shape[2], query.shape[3])
        out: Tensor = self.out(unpartition(attended, size, self.window)[..., :height, :width])
        return out

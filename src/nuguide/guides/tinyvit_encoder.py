"""The TinyViT image encoder of MobileSAM (vit_t), with MobileSAM's key names.

Wu et al., TinyViT, ECCV 2022 (arXiv:2207.10666); Zhang et al., MobileSAM, 2023 (arXiv:2306.14289).
A convolutional stem (stride 4) and stage of inverted bottlenecks, then three stages of windowed
attention with a depthwise convolution between attention and perceptron; SAM's neck on top. Total
stride 16. Every map is (B, C, H, W) between blocks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDE = 16
"""Pixels of input under one output token, along each axis."""


@dataclass(frozen=True)
class TinyVitSizes:
    """Sizes of a TinyViT SAM encoder; the defaults are vit_t (TinyViT-5M).

    Attributes
    ----------
    widths : tuple of int
        Channels of the four stages.
    depths : tuple of int
        Blocks of the four stages; the first stage is convolutional.
    heads, windows : tuple of int
        Attention heads and window side (tokens) of stages two to four.
    expansion : int
        Widening inside inverted bottlenecks and perceptrons.
    out_channels : int
        Channels of the embedding.
    """

    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    heads: tuple[int, int, int] = (4, 5, 10)
    windows: tuple[int, int, int] = (7, 14, 7)
    expansion: int = 4
    out_channels: int = 256


class ConvBn(nn.Module):
    """Convolution without bias, then batch norm (keys ``c`` and ``bn``)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ):
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return self.bn(self.c(x))

    def fold(self) -> None:
        """Put the batch norm into the convolution: the same function, for inference only."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.c = fuse_conv_bn_eval(self.c, self.bn)
            self.bn = nn.Identity()


class InvertedBottleneck(nn.Module):
    """Widen, depthwise 3x3, narrow, with a residual (MBConv)."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        hidden = width * expansion
        self.conv1 = ConvBn(width, hidden)
        self.conv2 = ConvBn(hidden, hidden, kernel=3, groups=hidden)
        self.conv3 = ConvBn(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    """Change the width and, with stride 2, halve the map."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = ConvBn(inputs, outputs)
        self.conv2 = ConvBn(outputs, outputs, kernel=3, stride=stride, groups=outputs)
        self.conv3 = ConvBn(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Multi-head attention within a square window, with a learned bias for each distance.

    The bias of two tokens depends on (|dy|, |dx|) alone; it is stored row by row of |dy|.
    """

    offsets: Tensor

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        # Not a weight, so it is made here even when the module is made on the meta device.
        side = torch.arange(window, device="cpu")
        y, x = (axis.reshape(-1) for axis in torch.meshgrid(side, side, indexing="ij"))
        offsets = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (windows, N, C), N tokens a window row by row, to the same shape."""
        count, length, width = tokens.shape
        # The heads lie outermost in the stored qkv: (head, {q, k, v}, channel).
        qkv = self.qkv(self.norm(tokens)).view(count, length, self.heads, 3, -1)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.offsets]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(mixed.transpose(1, 2).reshape(count, length, width))


class Perceptron(nn.Module):
    """Norm, widen, GELU, narrow, at each token."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width * expansion)
        self.fc2 = nn.Linear(width * expansion, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., C) to the same shape."""
        return self.fc2(F.gelu(self.fc1(self.norm(tokens))))


class TinyVitBlock(nn.Module):
    """Windowed attention, a depthwise convolution across the windows' borders, a perceptron."""

    def __init__(self, width: int, heads: int, window: int, expansion: int):
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvBn(width, width, kernel=3, groups=width)
        self.mlp = Perceptron(width, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; any H, W (zero-padded to whole windows inside)."""
        x = self.local_conv(x + self._attend(x))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _attend(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        side = self.window
        # The padding takes part in attention, unmasked: so the published weights were trained.
        x = F.pad(x, (0, -breadth % side, 0, -height % side))
        rows, columns = x.shape[2] // side, x.shape[3] // side
        windows = x.view(batch, width, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        mixed = self.attn(windows.reshape(-1, side * side, width))
        mixed = mixed.view(batch, rows, columns, side, side, width).permute(0, 5, 1, 3, 2, 4)
        return mixed.reshape(x.shape)[:, :, :height, :breadth]


class Stage(nn.Module):
    """Blocks of one width, then the merging to the next (none after the last)."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the next stage's width and size."""
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Stem(nn.Module):
    """Two strided convolutions: a quarter of the size (keys ``seq.0`` and ``seq.2``)."""

    def __init__(self, width: int):
        super().__init__()
        self.seq = nn.Sequential(
            ConvBn(3, width // 2, kernel=3, stride=2),
            nn.GELU(),
            ConvBn(width // 2, width, kernel=3, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, width, H / 4, W / 4)."""
        return self.seq(x)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TinyVitEncoder(nn.Module):
    """SAM image encoder on TinyViT: (B, 3, H, W) normalised float to (B, 256, H/16, W/16).

    H and W are multiples of 16 (1024 as published).
    """

    def __init__(self, sizes: TinyVitSizes | None = None):
        super().__init__()
        sizes = sizes or TinyVitSizes()
        widths = sizes.widths
        self.patch_embed = Stem(widths[0])
        self.layers = nn.ModuleList(_stage(sizes, index) for index in range(4))
        self.neck = nn.Sequential(
            nn.Conv2d(widths[3], sizes.out_channels, 1, bias=False),
            LayerNorm2d(sizes.out_channels, eps=1e-6),
            nn.Conv2d(sizes.out_channels, sizes.out_channels, 3, padding=1, bias=False),
            LayerNorm2d(sizes.out_channels, eps=1e-6),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode (B, 3, H, W) into (B, out_channels, H / 16, W / 16)."""
        x = self.patch_embed(image)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x).contiguous()

    def fold(self) -> None:
        """Fold every batch norm into its convolution, for inference only."""
        for part in self.modules():
            if isinstance(part, ConvBn):
                part.fold()


def _stage(sizes: TinyVitSizes, index: int) -> Stage:
    width = sizes.widths[index]
    blocks: list[nn.Module] = [
        InvertedBottleneck(width, sizes.expansion)
        if index == 0
        else TinyVitBlock(width, sizes.heads[index - 1], sizes.windows[index - 1], sizes.expansion)
        for _ in range(sizes.depths[index])
    ]
    if index == 3:
        return Stage(blocks, None)
    # The last merging keeps the size, so that the whole stride is 16, as SAM's.
    return Stage(
        blocks, PatchMerging(width, sizes.widths[index + 1], stride=1 if index == 2 else 2)
    )

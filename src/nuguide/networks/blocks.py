"""Encoder blocks and pooling of the eU-Net3+ and its relatives."""

from enum import StrEnum
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Activation(StrEnum):
    """Activations of the published ablation."""

    GLU = "glu"
    RELU = "relu"
    LEAKY_RELU = "leaky_relu"
    SWISH = "swish"

    def module(self) -> nn.Module:
        """Return a fresh module; GLU halves the channels, the others keep them."""
        modules: dict[Activation, nn.Module] = {
            Activation.GLU: nn.GLU(dim=1),
            # In place: neither batch norm nor convolution needs what it gave out again.
            Activation.RELU: nn.ReLU(inplace=True),
            Activation.LEAKY_RELU: nn.LeakyReLU(),
            Activation.SWISH: nn.SiLU(),
        }
        return modules[self]


class ConvNormAct(nn.Sequential):
    """Conv3x3 (pad 1) -> batch norm -> activation, (B, in, H, W) -> (B, out, H, W).

    With GLU the convolution makes ``2 * out`` channels, and the gate halves them.
    """

    def __init__(
        self, in_channels: int, out_channels: int, activation: Activation = Activation.RELU
    ):
        made = 2 * out_channels if activation is Activation.GLU else out_channels
        super().__init__(
            nn.Conv2d(in_channels, made, 3, padding=1), nn.BatchNorm2d(made), activation.module()
        )


class DoubleConv(nn.Sequential):
    """Two ``ConvNormAct`` in a row: one level of an encoder."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation):
        super().__init__(
            ConvNormAct(in_channels, out_channels, activation),
            ConvNormAct(out_channels, out_channels, activation),
        )


class Blur(nn.Module):
    """Depthwise binomial filter [1 2 1]^2 / 16 with zero padding 1, (B, C, H, W) -> (B, C, H, W).

    Parameters
    ----------
    stride : int
        1 keeps the size, 2 halves it.

    Notes
    -----
    Off the CPU it is two averages of 2 x 2, which is the same: cuDNN takes about 2 s to make its
    first depthwise convolution ready. The kernel is read on the CPU alone.
    """

    kernel: Tensor

    def __init__(self, stride: int = 1):
        super().__init__()
        self.stride = stride
        row = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", torch.outer(row, row)[None, None] / 16, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter every channel alike."""
        if not x.is_cpu:
            return self.averaged(x)
        channels = int(x.shape[1])  # a number in a trace too: the kernel's shape depends on it
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 3, 3)
        return F.conv2d(x, kernel, stride=self.stride, padding=1, groups=channels)

    def averaged(self, x: Tensor) -> Tensor:
        """Do the same by averaging squares of 2 x 2 twice."""
        return F.avg_pool2d(F.avg_pool2d(x, 2, 1, padding=1), 2, self.stride)


class Pooling(StrEnum):
    """How an encoder halves its maps.

    ``max_blur`` is the released network's: it subsamples before it blurs. ``blur_max`` blurs
    before it subsamples, which is the anti-aliasing of Zhang (ICML 2019).
    """

    MAX = "max"
    MAX_BLUR = "max_blur"
    BLUR_MAX = "blur_max"

    def module(self) -> nn.Module:
        """Return a fresh module, (B, C, H, W) -> (B, C, H/2, W/2) for even H and W."""
        if self is Pooling.MAX:
            return nn.MaxPool2d(2)
        if self is Pooling.MAX_BLUR:
            return nn.Sequential(nn.MaxPool2d(2), Blur())
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, stride=1), Blur(stride=2))


def is_traced() -> bool:
    """Tell whether a graph is being recorded, which is to serve all sizes."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend (B, C, H, W) at the bottom and right, by repeating the edge, to multiples."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    # A trace serves all sizes: it pads always, some sizes by nothing.
    if is_traced() or bottom or right:
        return F.pad(x, (0, right, 0, bottom), mode="replicate")
    return x


def pad_tokens(tokens: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """Extend tokens of an image of ``size`` (H, W) px to those of the ``padded`` image.

    The tokens repeat at the bottom and right edge as the pixels do, so that each still lies over
    its own tissue, also where the last row or column reached beyond the image.
    """
    rows, columns = (
        _missing(have, before, after)
        for have, before, after in zip(tokens.shape[-2:], size, padded, strict=True)
    )
    if is_traced() or rows or columns:
        return F.pad(tokens, (0, columns, 0, rows), mode="replicate")
    return tokens


def _missing(have: int, before: int, after: int) -> int:
    """Return how many tokens a side lacks once its image has grown from ``before`` to ``after``."""
    # The last token may reach beyond the image by nearly its whole side, which makes the quotient
    # too large by nearly one: rounded down it is how many fit (images of a few tokens may get one
    # more). In whole numbers: sizes may be symbols of a compiler, or tensors in a trace.
    missing: int | Tensor = have * after // before - have
    return cast(int, missing.clamp(min=0)) if isinstance(missing, Tensor) else max(missing, 0)


def initialise(network: nn.Module) -> None:
    """Initialise as published: Kaiming-normal convolutions, batch norm around one, biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)

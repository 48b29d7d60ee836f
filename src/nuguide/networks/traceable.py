"""The same function in operations that a trace records for all sizes.

A network's usual form loops over blocks whose number depends on the size of the map, and writes
into parts of tensors: a trace would record one size, or copies. Here every loop has become one
product over all blocks at once.
"""

from copy import deepcopy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nuguide.networks.full_scale_decoder import FullScaleLevel
from nuguide.networks.upsampled_conv import UpsampledConv2d, interpolation_matrices

Network = TypeVar("Network", bound=nn.Module)


def traceable(module: Network) -> Network:
    """Return a copy of a module in evaluation mode that may be traced at one size for all.

    Parameters
    ----------
    module : Module
        By the contract of ``nuguide.networks``, best folded (``nuguide.networks.inference``).
        It is not changed.
    """
    copy = deepcopy(module).eval().requires_grad_(False).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for part in list(copy.modules()):
        if isinstance(part, FullScaleLevel):
            _replace_branches(part)
    _replace(copy, 1)
    return copy


def _replace_branches(level: FullScaleLevel) -> None:
    for source, branch in enumerate(level.branches, start=1):
        # Images are padded to whole px of the coarsest map: under each lie so many cells.
        _replace(branch, 2 ** (len(level.branches) - source))


def _replace(module: nn.Module, block_cells: int) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, UpsampledConv2d):
                setattr(parent, name, BlockedUpsampledConv2d(child, block_cells))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, FixedNorm2d(child))


class FixedNorm2d(nn.Module):
    """A batch norm of fixed statistics as a product and a sum, (B, C, H, W) -> (B, C, H, W).

    A trace through a padding no longer knows the number of channels, which a batch norm asks for.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a batch norm without statistics; expected one that keeps them")
        scale = torch.rsqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean * scale
        shift = shift if norm.bias is None else shift + norm.bias
        self.register_buffer("scale", scale.detach()[:, None, None].clone())
        self.register_buffer("shift", shift.detach()[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel."""
        return x * self.scale + self.shift


class BlockedUpsampledConv2d(nn.Module):
    """An ``UpsampledConv2d`` as two matrix products over blocks, (B, C, h, w) -> (B, O, kh, kw).

    Each block of ``g`` cells is computed from these cells and one more on either side. At the ends
    of an axis the outermost cell is repeated, which is what bilinear interpolation does there, and
    what the zero padding of the convolution leaves out is taken away again.

    Parameters
    ----------
    convolution : UpsampledConv2d
        Its weights are copied.
    block_cells : int
        g; h and w must be multiples of it.
    """

    taps: Tensor
    bias: Tensor
    matrix: Tensor

    def __init__(self, convolution: UpsampledConv2d, block_cells: int):
        super().__init__()
        self.scale, self.block_cells = convolution.scale, block_cells
        weight = convolution.weight.detach()
        self.out_channels, channels = weight.shape[:2]
        # Channels in the order (tap x, out, tap y), as in ``UpsampledConv2d``.
        taps = weight.permute(3, 0, 2, 1).reshape(9 * self.out_channels, channels, 1, 1)
        self.register_buffer("taps", taps.contiguous())
        self.register_buffer("bias", convolution.bias.detach()[:, None, None].clone())
        self.register_buffer("matrix", _block_matrix(block_cells, convolution.scale))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge and convolve at the coarse size."""
        batch, _, height, width = x.shape
        wide, tall = width * self.scale, height * self.scale
        coarse = F.conv2d(x, self.taps).view(batch, 3, self.out_channels * 3 * height, width)
        rows = _gathered(coarse, self.block_cells, -1)  # (B, O 3 h, blocks, K)
        rows = (rows @ self.matrix.t()).view(batch, self.out_channels, 3, height, wide)
        columns = _gathered(rows.transpose(1, 2), self.block_cells, -2)  # (B, O, blocks, K, kw)
        return (self.matrix @ columns).view(batch, self.out_channels, tall, wide) + self.bias


def _gathered(taps: Tensor, cells: int, axis: int) -> Tensor:
    """Put what each block reads side by side.

    Parameters
    ----------
    taps : Tensor
        (B, 3, ...): what each tap reads.
    cells : int
        Cells of a block.
    axis : int
        -1 or -2: the axis that is cut in blocks.

    Returns
    -------
    Tensor
        Without the axis of taps; instead of the cut axis there are two: blocks, and the
        K = 3 * (cells + 2) + 2 values that ``_block_matrix`` weighs.
    """
    parts = taps.unbind(1)
    blocks = taps.shape[axis] // cells
    rest = taps.shape[-1:] if axis == -2 else ()
    side_by_side = []
    for part in parts:
        before = torch.cat(
            [_cut(part, axis, 0, 1), _cut(part, axis, cells - 1, -1, cells)], dim=axis
        )
        after = torch.cat([_cut(part, axis, cells, None, cells), _cut(part, axis, -1)], dim=axis)
        own = part.reshape(*part.shape[:axis], blocks, cells, *rest)
        side_by_side += [before.unsqueeze(axis), own, after.unsqueeze(axis)]
    # The first and last cell once more, for the end blocks alone.
    beside = (0, 0) * (-1 - axis)
    first = F.pad(_cut(parts[0], axis, 0, 1), (*beside, 0, blocks - 1))
    last = F.pad(_cut(parts[2], axis, -1), (*beside, blocks - 1, 0))
    return torch.cat([*side_by_side, first.unsqueeze(axis), last.unsqueeze(axis)], dim=axis)


def _cut(x: Tensor, axis: int, start: int, stop: int | None = None, step: int = 1) -> Tensor:
    """Slice the last axis, or the one before it."""
    cut = slice(start, stop, step)
    return x[..., cut] if axis == -1 else x[..., cut, :]


def _block_matrix(cells: int, scale: int) -> Tensor:
    """Return (scale * cells, K): what a block gives, of what ``_gathered`` puts together."""
    # Of an axis with two more cells on either side, so that no end is near.
    outputs = range(2 * scale, (cells + 2) * scale)
    taps = interpolation_matrices(cells + 4, scale, outputs, range(1, cells + 3))
    ends = torch.zeros(scale * cells, 2)
    # The padding of the convolution is zero: neither the tap before the first place nor the one
    # after the last reads anything.
    ends[0, 0] = ends[-1, 1] = -1
    return torch.cat([*taps, ends], dim=1)

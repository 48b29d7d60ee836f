"""A 3x3 convolution of a bilinearly enlarged map that never makes the enlarged map.

For a map x enlarged k times (bilinear, ``align_corners=False``) and convolved with W (3x3, zero
padding 1), exactly::

    out = sum_ij  U_i . (W_ij * x) . V_j^T

W_ij is the 1x1 convolution of tap (i, j) at the *coarse* size; U_i and V_j are the interpolation
matrices along y and x, shifted by the tap's offset, with zero rows where the padding lies. So: one
1x1 convolution to 9 * out channels on the coarse map, one matrix product along x, one along y.
The matrices are banded; they are applied in blocks of coarse cells, each with one more cell on
either side, so that work grows linearly with the map's side. Each block reads a slice of its
source and writes a slice of its target: nothing is copied, padded or cut in windows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_BLOCK_CELLS = 16  # coarse cells a block covers
_BLOCK_CELLS_GPU = 128  # there a launch costs more than the zeros in a wide block

Block = tuple[slice, slice, Tensor]
"""Where a block writes, what it reads, and its (3, written, read) matrices, one for each tap."""


def interpolation_matrices(size: int, scale: int, outputs: range, cells: range) -> Tensor:
    """Build a part of the three shifted interpolation matrices of one axis.

    Parameters
    ----------
    size : int
        Length of the coarse axis.
    scale : int
        Enlargement k.
    outputs : range
        Rows: places on the enlarged axis.
    cells : range
        Columns: places on the coarse axis.

    Returns
    -------
    Tensor
        (3, len(outputs), len(cells)) float32; zero rows where a tap lies in the padding.
    """
    enlarged = torch.arange(outputs.start, outputs.stop) + torch.arange(-1, 2)[:, None]
    centre = ((enlarged + 0.5) / scale - 0.5).clamp(0, size - 1)
    inside = (enlarged >= 0) & (enlarged < size * scale)
    cell = torch.arange(cells.start, cells.stop)
    tent = (1 - (centre[..., None] - cell).abs()).clamp(min=0)
    return tent * inside[..., None]


@lru_cache(maxsize=128)
@torch.inference_mode(False)  # a cached tensor of inference mode could never serve a training
def interpolation_blocks(
    size: int, scale: int, backward: bool, dtype: torch.dtype, device: torch.device
) -> list[Block]:
    """Cut the interpolation of one axis, or its transpose, in blocks.

    Parameters
    ----------
    size, scale : int
        As in ``interpolation_matrices``.
    backward : bool
        False: from the coarse axis to the enlarged one; True: the transpose, from the gradient of
        the enlarged axis to that of the coarse one.
    dtype, device
        Of the matrices.

    Returns
    -------
    list of Block
        In order; what they write does not overlap and leaves nothing out.
    """
    covered = _BLOCK_CELLS if device.type == "cpu" else _BLOCK_CELLS_GPU
    blocks: list[Block] = []
    for first in range(0, size, covered):
        last = min(first + covered, size)
        # An output of cell c reads c - 1, c and c + 1.
        before, after = max(first - 1, 0), min(last + 1, size)
        if backward:
            outputs, cells = range(before * scale, after * scale), range(first, last)
        else:
            outputs, cells = range(first * scale, last * scale), range(before, after)
        matrices = interpolation_matrices(size, scale, outputs, cells).to(device, dtype)
        to, of = slice(outputs.start, outputs.stop), slice(cells.start, cells.stop)
        blocks.append((of, to, matrices.mT.contiguous()) if backward else (to, of, matrices))
    return blocks


_kept: ContextVar[list[list[Block]] | None] = ContextVar("_kept", default=None)


@contextmanager
def blocks_kept() -> Iterator[list[list[Block]]]:
    """Collect the blocks that forward passes read inside: a recording of launches needs them.

    Those of sizes that were not used for long are freed, and a recording would read on from where
    they lay.
    """
    kept: list[list[Block]] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def _blocks(size: int, scale: int, taps: Tensor) -> list[Block]:
    """Return the blocks that enlarge an axis of ``taps``."""
    blocks = interpolation_blocks(size, scale, False, taps.dtype, taps.device)
    kept = _kept.get()
    if kept is not None:
        kept.append(blocks)
    return blocks


class _Interpolation(torch.autograd.Function):
    """Sum of the taps' interpolations, (B, 3 x, O, 3 y, h, w) -> (B, O, kh, kw).

    Linear, so its backward pass is its transpose, block by block.
    """

    @staticmethod
    def forward(taps: Tensor, scale: int) -> Tensor:
        batch, _, out_channels, _, height, width = taps.shape
        rows = taps.view(batch, 3, out_channels * 3 * height, width)
        wide = taps.new_empty(batch, rows.shape[2], scale * width)
        for to, of, (left, middle, right) in _blocks(width, scale, taps):
            target = wide[:, :, to]
            torch.bmm(rows[:, 0, :, of], left.mT.expand(batch, -1, -1), out=target)
            target.baddbmm_(rows[:, 1, :, of], middle.mT.expand(batch, -1, -1))
            target.baddbmm_(rows[:, 2, :, of], right.mT.expand(batch, -1, -1))
        maps = batch * out_channels
        wide = wide.view(maps, 3, height, scale * width)
        tall = taps.new_empty(maps, scale * height, scale * width)
        for to, of, (above, middle, below) in _blocks(height, scale, taps):
            target = tall[:, to]
            torch.bmm(above.expand(maps, -1, -1), wide[:, 0, of], out=target)
            target.baddbmm_(middle.expand(maps, -1, -1), wide[:, 1, of])
            target.baddbmm_(below.expand(maps, -1, -1), wide[:, 2, of])
        return tall.view(batch, out_channels, scale * height, scale * width)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        taps, ctx.scale = inputs
        ctx.shape = taps.shape

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        batch, _, out_channels, _, height, width = ctx.shape
        scale, like = ctx.scale, (gradient.dtype, gradient.device)
        maps = batch * out_channels
        tall = gradient.contiguous().view(maps, scale * height, scale * width)
        wide = gradient.new_empty(maps, 3, height, scale * width)
        for to, of, taps in interpolation_blocks(height, scale, True, *like):
            for tap, matrix in enumerate(taps):
                torch.bmm(matrix.expand(maps, -1, -1), tall[:, of], out=wide[:, tap, to])
        wide = wide.view(batch, out_channels * 3 * height, scale * width)
        rows = gradient.new_empty(batch, 3, wide.shape[1], width)
        for to, of, taps in interpolation_blocks(width, scale, True, *like):
            for tap, matrix in enumerate(taps):
                matrices = matrix.mT.expand(batch, -1, -1)
                torch.bmm(wide[:, :, of], matrices, out=rows[:, tap, :, to])
        return rows.view(ctx.shape), None


# Products that are written in their place: there is nothing to compile, and torch cannot.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _interpolated(taps: Tensor, scale: int) -> Tensor:
    enlarged: Tensor = _Interpolation.apply(taps, scale)  # type: ignore[no-untyped-call]
    return enlarged


class UpsampledConv2d(nn.Module):
    """Conv3x3 (pad 1) of a bilinear x ``scale`` enlargement, (B, C, h, w) -> (B, O, kh, kw).

    Parameters and their names are those of ``nn.Conv2d(C, O, 3, padding=1)``.

    Notes
    -----
    Equal to ``conv(interpolate(x))`` up to rounding (about 1e-5 on unit-variance maps).
    """

    def __init__(self, in_channels: int, out_channels: int, scale: int):
        super().__init__()
        if scale < 2:
            raise ValueError(f"scale {scale}; expected 2 or more: use nn.Conv2d at the same size")
        self.scale = scale
        plain = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.weight = plain.weight
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_normal_(self.weight, a=0, mode="fan_in")

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge and convolve at the coarse size."""
        batch, channels, height, width = x.shape
        out_channels = self.weight.shape[0]
        # Channels in the order (tap x, out, tap y): what a product reads lies side by side.
        taps = self.weight.permute(3, 0, 2, 1).reshape(9 * out_channels, channels)
        coarse = torch.baddbmm(self._bias_of_taps(), taps.expand(batch, -1, -1), x.flatten(2))
        coarse = coarse.view(batch, 3, out_channels, 3, height, width)
        enlarged = _interpolated(coarse, self.scale)
        # The batch norm after it takes several times as long on a GPU if maps lie otherwise.
        channels_last = self.training and x.stride(1) == 1
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return enlarged.contiguous(memory_format=layout)

    def _bias_of_taps(self) -> Tensor:
        """Give the bias to the middle tap, (1, 9 * out, 1).

        No place of it lies in the padding, so its weights at each output add up to 1, and the bias
        arrives there whole: added at the coarse size, at next to no cost.
        """
        return F.pad(self.bias[None, :, None], (1, 1, 0, 0, 1, 1)).reshape(1, -1, 1)

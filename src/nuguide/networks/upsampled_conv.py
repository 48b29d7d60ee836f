"""A 3x3 convolution of a bilinearly enlarged map that never makes the enlarged map.

For a map x enlarged k times (bilinear, ``align_corners=False``) and convolved with W (3x3, zero
padding 1), exactly::

    out = sum_ij  U_i . (W_ij * x) . V_j^T

W_ij is the 1x1 convolution of tap (i, j) at the *coarse* size; U_i and V_j are the interpolation
matrices along y and x, shifted by the tap's offset, with zero rows where the padding lies. So: one
1x1 convolution to 9 * out channels on the coarse map, one matrix product along x, one along y.
The matrices are banded; they are applied in blocks of output rows (columns), each reading its own
coarse rows and one more on either side, so that work grows linearly with the map's side.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK_CELLS = 16  # coarse rows a block reads besides its two neighbours


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached tensor of inference mode could never serve a training
def interpolation_blocks(size: int, scale: int, cells: int) -> Tensor:
    """Build the blocks of the three shifted interpolation matrices of one axis.

    Parameters
    ----------
    size : int
        Length of the coarse axis.
    scale : int
        Enlargement k.
    cells : int
        Coarse cells a block covers; it makes ``cells * scale`` outputs.

    Returns
    -------
    Tensor
        (n_blocks, cells * scale, 3 * (cells + 2)) float32. Row: output within the block; column:
        tap, then coarse cell from one before the block to one after.
    """
    n_blocks = math.ceil(size / cells)
    block = cells * scale
    output = torch.arange(n_blocks * block)
    matrices = torch.zeros(n_blocks * block, 3, cells + 2)
    first = output.div(block, rounding_mode="floor") * cells - 1
    for tap in range(3):
        enlarged = output + tap - 1
        rows = output[(enlarged >= 0) & (enlarged < size * scale)]  # the others stay zero: padding
        centre = ((enlarged[rows] + 0.5) / scale - 0.5).clamp(0, size - 1)
        low = centre.floor().long()
        high = (low + 1).clamp(max=size - 1)
        matrices[rows, tap, low - first[rows]] += 1 - (centre - low)
        matrices[rows, tap, high - first[rows]] += centre - low
    return matrices.reshape(n_blocks, block, 3 * (cells + 2))


def _windows(x: Tensor, dim: int, cells: int) -> Tensor:
    """Cut ``dim`` of ``x`` in blocks of ``cells`` with one neighbour on either side.

    The last dimension of the result runs within a block, ``dim`` over blocks.
    """
    size = x.shape[dim]
    n_blocks = math.ceil(size / cells)
    pad = [0] * (2 * (x.ndim - dim % x.ndim))
    pad[-2:] = [1, n_blocks * cells - size + 1]
    return F.pad(x, pad).unfold(dim, cells + 2, cells)


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
        batch, _, height, width = x.shape
        out_channels = self.weight.shape[0]
        cells_y, cells_x = min(_BLOCK_CELLS, height), min(_BLOCK_CELLS, width)
        along_y = interpolation_blocks(height, self.scale, cells_y).to(x)
        along_x = interpolation_blocks(width, self.scale, cells_x).to(x)

        # Channels in the order (tap y, out, tap x): what each product sums over lies together.
        taps = self.weight.permute(2, 0, 3, 1).reshape(9 * out_channels, -1, 1, 1)
        coarse = F.conv2d(x, taps.contiguous())

        blocks = _windows(coarse.view(batch, 3, out_channels, 3, height, width), -1, cells_x)
        blocks = blocks.permute(0, 1, 2, 5, 4, 3, 6).flatten(-2)  # B, 3, O, block, h, 3 cells
        wide = blocks @ along_x.transpose(1, 2)  # B, 3, O, block, h, columns
        wide = wide.transpose(-3, -2).flatten(-2)[..., : width * self.scale]  # B, 3, O, h, W

        blocks = _windows(wide, -2, cells_y)  # B, 3, O, block, W, cells
        blocks = blocks.permute(0, 2, 3, 1, 5, 4).flatten(3, 4)  # B, O, block, 3 cells, W
        tall = (along_y @ blocks).flatten(2, 3)[:, :, : height * self.scale]
        return tall + self.bias[:, None, None]

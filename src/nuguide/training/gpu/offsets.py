"""The offsets to nuclei's centres, of a whole batch at once on the device."""

import torch
from torch import Tensor

_SPREAD = 1024
"""Bins that take turns at the background: all its pixels in one would wait for each other."""


def centre_offsets(labels: Tensor, most: int) -> Tensor:
    """Return what ``nuguide.training.targets.centre_offsets`` does, crop by crop.

    Parameters
    ----------
    labels : Tensor
        (B, H, W) int64 instance maps, 0 = background.
    most : int
        None of the numbers is greater.

    Returns
    -------
    Tensor
        (B, 2, H, W) float32, (y, x): 0 outside; inside from -1 at the nucleus' first row or column
        over 0 at its centroid to 1 at its last.

    Notes
    -----
    A nucleus in several parts has one centre here, there one in each.
    """
    count, height, width = labels.shape
    device = labels.device
    crop = torch.arange(count, device=device)[:, None, None] * (most + 1)
    pixel = torch.arange(height * width, device=device).view(height, width)
    nowhere = count * (most + 1) + pixel % _SPREAD
    bins = torch.where(labels > 0, labels + crop, nowhere).flatten()
    size = count * (most + 1) + _SPREAD
    areas = torch.zeros(size, dtype=torch.int64, device=device)
    areas.scatter_add_(0, bins, torch.ones_like(bins))
    offsets = []
    for place in (pixel // width, pixel % width):
        along = place.expand(count, height, width).flatten()
        # Whole numbers: their sum is the same in whatever order.
        sums = torch.zeros_like(areas).scatter_add_(0, bins, along)
        centre = sums.double() / areas.clamp(min=1)
        offset = (along - centre[bins]).float()
        first, last = (
            torch.zeros(size, device=device).scatter_reduce_(0, bins, sign * offset, "amax")
            for sign in (-1, 1)
        )
        reach = torch.where(offset < 0, first[bins], last[bins])
        # Where a reach is 0 the offset is, too.
        offsets.append(offset / torch.where(reach > 0, reach, 1))
    return torch.stack(offsets).view(2, count, height, width).movedim(0, 1) * (labels > 0)[:, None]

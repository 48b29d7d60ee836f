"""Any extent of tissue through a guide: cut into its fields, encoded, joined, cropped."""

import math
from itertools import islice, product

import numpy as np
import torch
from numpy.typing import NDArray

from nuguide.errors import GuideError
from nuguide.guides.base import TOKEN_CHANNELS, Embedding, Guide

# Sizes in um are products of rounded numbers: this much of a token is no token of its own.
_SLACK = 1e-6


def encode_extent(guide: Guide, rgb: NDArray[np.uint8], mpp: float, batch: int = 1) -> Embedding:
    """Encode an extent of tissue of any size into tokens that cover exactly it.

    A guide with a field reads the extent field by field, on a grid anchored at the extent's
    top-left corner. Where the last fields reach beyond the extent they see its mirror image (the
    border row repeated; mirrored again and again where the extent is narrower than what is
    missing), because it has the colour and texture of the tissue and white would be a false edge.
    A guide without a field reads the extent at once.

    Parameters
    ----------
    guide : Guide
        Any guide.
    rgb : array
        (H, W, 3) uint8, RGB.
    mpp : float
        um/px of ``rgb``.
    batch : int
        Fields that are encoded at once.

    Returns
    -------
    Embedding
        Values (1, 256, h, w), h = ceil(H mpp / token_um), w = ceil(W mpp / token_um); the last row
        and column of tokens may reach beyond the extent.

    Raises
    ------
    GuideError
        If ``rgb`` is not such an array, or the guide returns tokens of a wrong shape.

    Notes
    -----
    Fields that are no whole number of pixels begin between pixels: they are sampled bilinearly at
    the nearest whole number, so that no error adds up along the extent.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise GuideError(
            f"got {rgb.dtype} {rgb.shape}; expected uint8 (H, W, 3) that is not empty; "
            "convert the image to 8-bit RGB"
        )
    if guide.field_um is None:
        whole = guide.encode(rgb[None], mpp)
        return _cropped(whole, whole.values, rgb, mpp)
    field_px = guide.field_um / mpp
    side = max(1, round(field_px))
    rows, columns = (max(1, math.ceil(n / field_px - _SLACK)) for n in rgb.shape[:2])
    places = iter(product(range(rows), range(columns)))
    parts: list[Embedding] = []
    while chunk := list(islice(places, batch)):
        fields = np.stack([_field(rgb, place, field_px, side) for place in chunk])
        parts.append(guide.encode(fields, guide.field_um / side))
    values = torch.cat([part.values for part in parts])
    height, width = values.shape[2:]
    joined = values.view(rows, columns, -1, height, width).permute(2, 0, 3, 1, 4)
    return _cropped(parts[0], joined.reshape(1, -1, rows * height, columns * width), rgb, mpp)


def _field(
    rgb: NDArray[np.uint8], place: tuple[int, int], field_px: float, side: int
) -> NDArray[np.uint8]:
    """Sample the field at (row, column) of the grid as (side, side, 3) uint8."""
    y, x = ((index + (np.arange(side) + 0.5) / side) * field_px - 0.5 for index in place)
    (top, bottom, down), (left, right, across) = (
        _neighbours(at, length) for at, length in zip((y, x), rgb.shape[:2], strict=True)
    )
    upper, lower = rgb[top], rgb[bottom]
    if not down.any() and not across.any():
        return upper[:, left]
    wide = down[:, None, None]
    mixed = upper * (1 - wide) + lower * wide
    beside = across[None, :, None]
    mixed = mixed[:, left] * (1 - beside) + mixed[:, right] * beside
    return np.rint(mixed).astype(np.uint8)


def _neighbours(
    at: NDArray[np.float64], length: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two pixels each position lies between, mirrored in, and the second's share."""
    at = np.where(np.abs(at - np.rint(at)) < _SLACK, np.rint(at), at)
    first = np.floor(at).astype(np.intp)
    share = (at - first).astype(np.float32)
    return _mirrored(first, length), _mirrored(first + 1, length), share


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _cropped(
    embedding: Embedding, values: torch.Tensor, rgb: NDArray[np.uint8], mpp: float
) -> Embedding:
    height, width = (
        max(1, math.ceil(n * mpp / embedding.token_um - _SLACK)) for n in rgb.shape[:2]
    )
    if values.shape[:2] != (1, TOKEN_CHANNELS) or (
        values.shape[2] < height or values.shape[3] < width
    ):
        raise GuideError(
            f"guide {embedding.name} gave tokens {tuple(values.shape)}; expected "
            f"(1, {TOKEN_CHANNELS}, {height}, {width}) or larger; check its token_um"
        )
    cut = values[:, :, :height, :width].contiguous()
    return Embedding(cut, embedding.token_um, embedding.name, embedding.sha256)

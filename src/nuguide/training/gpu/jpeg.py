"""What JPEG takes from a picture, a whole batch at once on the device."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8

# Steps of quantisation at quality 50, for brightness and for colour: ITU-T T.81, tables K.1, K.2.
_BRIGHTNESS = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_COLOUR = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)


def compressed(image: Tensor, quality: Tensor) -> Tensor:
    """Return pictures as they come back from a JPEG file.

    Parameters
    ----------
    image : Tensor
        (B, 3, H, W) float32 RGB in 0..255.
    quality : Tensor
        (B,) 1 to 100, as libjpeg counts it.

    Returns
    -------
    Tensor
        (B, 3, H, W) float32 in 0..255.

    Notes
    -----
    Brightness and colour apart (JFIF), colour at half the pixels, both cut into blocks of 8 x 8
    whose cosines are rounded to multiples of the steps of ``quality``. What is done without loss,
    packing the numbers, is left out; and so is rounding to whole numbers between the stages.
    """
    height, width = image.shape[-2:]
    across, down = -width % (2 * _BLOCK), -height % (2 * _BLOCK)
    padded = F.pad(image, (0, across, 0, down), mode="replicate")
    parts = torch.einsum("dc,bchw->bdhw", _to_parts(image.device), padded)
    brightness = _quantised(parts[:, :1] - 128, _steps(_BRIGHTNESS, quality)) + 128
    colour = _quantised(F.avg_pool2d(parts[:, 1:], 2), _steps(_COLOUR, quality))
    colour = F.interpolate(colour, scale_factor=2, mode="bilinear", align_corners=False)
    back = torch.linalg.inv(_to_parts(image.device))
    rgb = torch.einsum("dc,bchw->bdhw", back, torch.cat([brightness, colour], dim=1))
    return rgb[..., :height, :width].clamp(0, 255)


def _quantised(part: Tensor, steps: Tensor) -> Tensor:
    """Round the cosines of the blocks of (B, C, H, W) to multiples of ``steps``, (B, 8, 8)."""
    count, channels, height, width = part.shape
    blocks = part.view(count, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    cosines = _cosines(part.device)
    found = torch.einsum("uy,bcrysx,vx->bcrusv", cosines, blocks, cosines)
    step = steps[:, None, None, :, None, :]
    kept = (found / step).round() * step
    return torch.einsum("uy,bcrusv,vx->bcrysx", cosines, kept, cosines).reshape(part.shape)


def _steps(table: tuple[int, ...], quality: Tensor) -> Tensor:
    """Scale a table to the quality of each picture, (B, 8, 8), by libjpeg's rule."""
    plain = torch.tensor(table, dtype=torch.float32).to(quality.device).view(1, _BLOCK, _BLOCK)
    quality = quality.float().view(-1, 1, 1)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    return ((plain * percent + 50) / 100).floor().clamp(1, 255)


@cache
def _to_parts(device: torch.device) -> Tensor:
    """(3, 3) from RGB to brightness and two differences of colour (JFIF)."""
    rows = (
        (0.299, 0.587, 0.114),
        (-0.168736, -0.331264, 0.5),
        (0.5, -0.418688, -0.081312),
    )
    return torch.tensor(rows).to(device)


@cache
def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal cosines: frequency by place."""
    frequency, place = torch.arange(_BLOCK)[:, None], torch.arange(_BLOCK)[None, :]
    waves = torch.cos((2 * place + 1) * frequency * math.pi / (2 * _BLOCK)) / 2
    waves[0] /= math.sqrt(2)
    return waves.to(device)

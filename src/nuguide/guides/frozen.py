"""A SAM image encoder as a guide: its input made from tissue, its output cut to the tissue."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nuguide.errors import GuideError
from nuguide.guides.base import Embedding


@dataclass(frozen=True)
class PixelScale:
    """What is subtracted from, then divides RGB of 0-255 before an encoder is fed."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


SAM_PIXELS = PixelScale((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""As Segment Anything and most of its descendants were trained."""

UNIT_PIXELS = PixelScale((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
"""0 to 1, as MedSAM was trained."""


class FrozenSamGuide:
    """A frozen SAM encoder that reads square fields of tissue.

    Parameters
    ----------
    encoder : Module
        Maps (B, 3, N, N) normalised float to (B, 256, N / patch_px, N / patch_px).
    name, sha256 : str
        The guide's name, the digest of its weights.
    field_um : float
        Width of tissue that fills the encoder's input, um.
    input_px : int
        N, the side of the encoder's input.
    patch_px : int
        Side of the input under one token.
    pixels : PixelScale
        What the encoder was trained to be fed.

    Raises
    ------
    GuideError
        If ``field_um`` is not a positive finite number.
    """

    def __init__(
        self,
        encoder: nn.Module,
        name: str,
        sha256: str,
        field_um: float,
        input_px: int = 1024,
        patch_px: int = 16,
        pixels: PixelScale = SAM_PIXELS,
    ):
        if not (math.isfinite(field_um) and field_um > 0):
            raise GuideError(
                f"got field_um = {field_um}; expected a positive width of tissue in um; "
                "give for example 128"
            )
        self.name = name
        self.sha256 = sha256
        self.field_um: float | None = float(field_um)
        self.token_um = field_um * patch_px / input_px
        self._encoder = encoder.eval().requires_grad_(False)
        self._input_px = input_px
        self._patch_px = patch_px
        self._pixels = pixels
        self._device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Self:
        """Move the encoder to a device and return the guide; embeddings come from there."""
        self._device = torch.device(device)
        self._encoder.to(self._device)
        return self

    @torch.no_grad()
    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode tissue no larger than a field.

        Parameters
        ----------
        rgb : array
            (B, H, W, 3) uint8, RGB, at most ``field_um`` high and wide.
        mpp : float
            um/px of ``rgb``.

        Returns
        -------
        Embedding
            (B, 256, ceil(H mpp / token_um), ceil(W mpp / token_um)). Tissue smaller than a field
            keeps its scale; the rest of the input is zero after normalising, as in SAM.

        Raises
        ------
        GuideError
            If ``rgb`` is not such an array or is larger than a field.
        """
        height, width = self._sizes(rgb, mpp)
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self._device)
        image = pixels.permute(0, 3, 1, 2).float()
        shrinks = height < image.shape[2] or width < image.shape[3]
        image = F.interpolate(
            image, size=(height, width), mode="bilinear", align_corners=False, antialias=shrinks
        )
        tokens = self._encoder(self._padded(image))
        rows, columns = (math.ceil(side / self._patch_px) for side in (height, width))
        values = tokens[:, :, :rows, :columns].float()
        return Embedding(values.contiguous(), self.token_um, self.name, self.sha256)

    def _padded(self, image: Tensor) -> Tensor:
        mean, std = (
            image.new_tensor(v).view(1, 3, 1, 1) for v in (self._pixels.mean, self._pixels.std)
        )
        below, beside = (self._input_px - side for side in image.shape[2:])
        return F.pad((image - mean) / std, (0, beside, 0, below))

    def _sizes(self, rgb: NDArray[np.uint8], mpp: float) -> tuple[int, int]:
        """Return height and width of ``rgb`` at the encoder's scale, px."""
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.size == 0:
            raise GuideError(
                f"got {rgb.dtype} {rgb.shape}; expected uint8 (B, H, W, 3) that is not empty; "
                "convert the image to 8-bit RGB"
            )
        scale = mpp * self._patch_px / self.token_um
        sizes = []
        for pixels in rgb.shape[1:3]:
            side = max(1, round(pixels * scale))
            # A field is rarely a whole number of pixels: one more than fits is squeezed in.
            if (pixels - 1) * scale >= self._input_px:
                raise GuideError(
                    f"got {pixels * mpp:g} um of tissue; expected at most one field of "
                    f"{self.field_um:g} um; use nuguide.guides.fields.encode_extent"
                )
            sizes.append(min(side, self._input_px))
        return sizes[0], sizes[1]

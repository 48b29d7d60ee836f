"""A compact student of a guide: it reads the network's own pixels and returns the guide's tokens.

Knowledge distillation (Hinton et al., 2015) of a frozen SAM encoder into a small convolutional
encoder. It costs a fraction of the network it guides, needs no enlarged input, and lies inside the
model's own file.
"""

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nuguide.errors import GuideError
from nuguide.guides.base import TOKEN_CHANNELS, Embedding
from nuguide.guides.weights import digest

TOKEN_PX = 4
"""Side of a student's token, px of its input."""

_SCALE_TOLERANCE = 0.02


class ResidualBlock(nn.Module):
    """Conv3x3, batch norm, ReLU, Conv3x3, batch norm, added to the input; (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the body's correction."""
        return F.relu(x + self.body(x))


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class StudentGuide(nn.Module):
    """Residual encoder at strides 4, 8 and 16, merged upwards into tokens at stride 4.

    Parameters
    ----------
    teacher : str
        Name of the guide it was distilled from.
    mpp : float
        um/px of the pixels it reads; a token covers ``4 * mpp`` um.
    widths : four of int
        Channels at strides 2, 4, 8 and 16.
    blocks : int
        Residual blocks at each of strides 4, 8 and 16.

    Attributes
    ----------
    options : dict
        The arguments: ``StudentGuide(**student.options)`` builds another of the same shape.
    token_mean, token_std : Tensor
        (256, 1, 1) float32, the teacher's mean and spread of each channel.

    Raises
    ------
    ValueError
        If ``widths`` are not four, or ``mpp`` is not positive.
    """

    token_mean: Tensor
    token_std: Tensor
    field_um = None  # convolutional: it reads any extent in one pass

    def __init__(
        self,
        teacher: str = "tinyvit-sam",
        mpp: float = 0.5,
        widths: tuple[int, int, int, int] = (24, 64, 96, 128),
        blocks: int = 2,
    ):
        super().__init__()
        if len(widths) != 4:
            raise ValueError(
                f"widths are {len(widths)} numbers; expected four, the channels at strides 2, 4, 8 "
                "and 16"
            )
        if not mpp > 0:
            raise ValueError(f"mpp {mpp}; expected the um/px of its pixels, more than 0")
        self.teacher, self.mpp = teacher, mpp
        self.options: dict[str, Any] = {
            "teacher": teacher,
            "mpp": mpp,
            "widths": tuple(widths),  # as a card takes it
            "blocks": blocks,
        }
        self.stem = _down(3, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(_down(before, after), *(ResidualBlock(after) for _ in range(blocks)))
            for before, after in pairwise(widths)
        )
        self.merge = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths[1:])
        )
        self.refine = nn.ModuleList(ResidualBlock(width) for width in widths[1:-1])
        self.head = nn.Conv2d(widths[1], TOKEN_CHANNELS, 1)
        # The teacher's mean and spread of each channel: the head learns what is left of them.
        self.register_buffer("token_mean", torch.zeros(TOKEN_CHANNELS, 1, 1))
        self.register_buffer("token_std", torch.ones(TOKEN_CHANNELS, 1, 1))

    @property
    def name(self) -> str:
        """Name of the guide."""
        return f"student of {self.teacher}"

    @cached_property
    def sha256(self) -> str:
        """Digest of the weights; taken once, a guide is frozen."""
        return digest(self.state_dict())

    def reads(self, mpp: float) -> bool:
        """Tell whether pixels of ``mpp`` um/px are its own; 2 % off is accepted."""
        return abs(mpp / self.mpp - 1) <= _SCALE_TOLERANCE

    def forward(self, image: Tensor) -> Tensor:
        """Return tokens (B, 256, ceil(H/16)*4, ceil(W/16)*4) of RGB (B, 3, H, W) in 0..1."""
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
        x = self.stem(padded - 0.5)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        for level in reversed(range(len(self.merge))):
            enlarged = F.interpolate(self.merge[level](x), scale_factor=2, mode="bilinear")
            x = self.refine[level](maps[level] + enlarged)
        return self.head(x) * self.token_std + self.token_mean

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode tissue of any extent.

        Parameters
        ----------
        rgb : ndarray
            (B, H, W, 3) uint8 RGB.
        mpp : float
            um/px of ``rgb``, one that it ``reads``.

        Returns
        -------
        Embedding
            (B, 256, ceil(H / 4), ceil(W / 4)) float32; the last row and column of tokens may reach
            beyond the extent.

        Raises
        ------
        GuideError
            If ``rgb`` is not such an array, or ``mpp`` not the student's own.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.size == 0:
            raise GuideError(
                f"got {rgb.dtype} {rgb.shape}; expected uint8 (B, H, W, 3) that is not empty; "
                "convert the image to 8-bit RGB"
            )
        if not self.reads(mpp):
            raise GuideError(
                f"the {self.name} was given {mpp:g} um/px; expected {self.mpp:g} um/px, "
                "its own: resample the image before"
            )
        device = self.head.weight.device
        image = torch.tensor(np.ascontiguousarray(rgb), device=device).movedim(-1, 1).float() / 255
        rows, columns = -(-rgb.shape[1] // TOKEN_PX), -(-rgb.shape[2] // TOKEN_PX)
        values = self(image)[..., :rows, :columns].contiguous()
        return Embedding(values, TOKEN_PX * self.mpp, self.name, self.sha256)

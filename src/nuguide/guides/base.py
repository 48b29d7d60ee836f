"""The contract of a guide: frozen pixels-to-tokens, with a scale in microns."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

# What networks read is what guides make; it is said once, downstairs.
from nuguide.networks.fusion import TOKEN_CHANNELS as TOKEN_CHANNELS


@dataclass(frozen=True)
class Embedding:
    """Tokens of a piece of tissue.

    Attributes
    ----------
    values : Tensor
        (B, 256, h, w) float32; token (0, 0) covers the top-left ``token_um`` x ``token_um`` of the
        encoded tissue, and so on in (y, x) order.
    token_um : float
        Side of the square of tissue under one token, um.
    name : str
        The guide that made them.
    sha256 : str
        Digest of that guide's weights: with the name the key to any cache.
    """

    values: torch.Tensor
    token_um: float
    name: str
    sha256: str


@runtime_checkable
class Guide(Protocol):
    """A frozen, deterministic encoder of tissue.

    Attributes
    ----------
    name : str
        Its name in the registry.
    sha256 : str
        Digest of its weights.
    field_um : float or None
        Side of the square of tissue that one pass takes, um; larger tissue is encoded field by
        field (``nuguide.guides.fields``). None: it reads any extent in one pass.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def field_um(self) -> float | None: ...  # noqa: D102

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode ``rgb``, (B, H, W, 3) uint8 at ``mpp`` um/px, into tokens."""
        ...

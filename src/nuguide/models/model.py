"""A model: a network ready to predict, the guide it listens to, and their card."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nuguide.errors import GuideError
from nuguide.guides.base import Embedding, Guide
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.guides.registry import load_guide
from nuguide.models.card import Card


@dataclass(frozen=True)
class Model:
    """What ``nuguide.load`` returns and everything that predicts takes.

    Attributes
    ----------
    network : Module
        In evaluation mode; (B, 3, H, W) float32 in 0..1, channels in ``card.channel_order``, and
        tokens (B, 256, h, w) or None -> logits of its heads, (B, channels, H, W).
    guide : Guide or None
        Makes the tokens; None if the network takes none.
    card : Card
        What it is.
    backend : str
        What computes it, see ``nuguide.backends``.
    precision : str
        ``float32``, or ``bfloat16`` where a backend gives up digits for speed.
    views : int
        In how many ways it looks at a region, see ``nuguide.backends.views``.
    """

    network: nn.Module
    guide: Guide | None
    card: Card
    backend: str = "torch"
    precision: str = "float32"
    views: int = 1


@dataclass(frozen=True)
class NamedGuide:
    """A guide by name whose weights are read when it first encodes.

    A model can so be shown, converted or run on ready-made tokens where the guide's own weights
    are absent.

    Attributes
    ----------
    name : str
        A name in ``nuguide.guides.registry``.
    requested_field_um : float or None
        Side of the square of tissue that one pass shall take, um; None: the guide's own default.
    device : str
        Where its encoder runs, as torch names it.
    """

    name: str
    requested_field_um: float | None = None
    device: str = "cpu"

    def on(self, device: str) -> Self:
        """Return this guide on another device."""
        return replace(self, device=device)

    @cached_property
    def loaded(self) -> Guide:
        """The guide itself.

        Raises
        ------
        GuideError
            If its weights are missing; the message lists the ways to get them.
        """
        guide = load_guide(self.name, field_um=self.requested_field_um)
        if guide is None:
            raise GuideError(f"{self.name!r} is no guide; expected one that encodes; name another")
        return guide.to(self.device) if isinstance(guide, FrozenSamGuide) else guide

    @property
    def field_um(self) -> float | None:
        """Side of the square of tissue that one pass takes, um."""
        return self.requested_field_um or self.loaded.field_um

    @property
    def sha256(self) -> str:
        """Digest of its weights."""
        return self.loaded.sha256

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Encode ``rgb``, (B, H, W, 3) uint8 at ``mpp`` um/px, into tokens."""
        return self.loaded.encode(rgb, mpp)

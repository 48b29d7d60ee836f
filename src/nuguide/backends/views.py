"""One region seen in several ways, turned and mirrored: their mean is surer than any of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from nuguide.backends.registry import Backend
from nuguide.backends.whole import whole
from nuguide.errors import InputError
from nuguide.models.model import Model

VIEWS = (1, 2, 4, 8)
"""How many there may be."""

_PROBABILITIES = {"nuclei", "types"}
"""Heads whose channels are told apart by a softmax; of the others the values themselves are."""

_LEAST = 1e-12
"""Probability below which a logit says nothing any more."""


@dataclass(frozen=True)
class _View:
    """Mirrored left to right or not, then turned by quarters."""

    quarters: int
    mirrored: bool

    def of(self, x: Tensor) -> Tensor:
        """Lay a map, (..., H, W), as this view does."""
        return torch.rot90(x.flip(-1) if self.mirrored else x, self.quarters, (-2, -1))

    def back(self, x: Tensor, *, vectors: bool) -> Tensor:
        """Lay a map as it was; ``vectors``: (B, 2, H, W), (y, x), which turn with it."""
        x = torch.rot90(x, -self.quarters, (-2, -1))
        if vectors:
            y, right = x.unbind(1)
            for _ in range(self.quarters):
                y, right = right, -y
            x = torch.stack([y, -right if self.mirrored else right], 1)
        return x.flip(-1) if self.mirrored else x


_VIEWS = (
    _View(0, False),
    _View(2, False),
    _View(0, True),
    _View(2, True),
    _View(1, False),
    _View(3, False),
    _View(1, True),
    _View(3, True),
)


class InViews(nn.Module):
    """A network that looks at its image in several ways; the contract of networks stays.

    Parameters
    ----------
    network : Module
        With the student that guides it, if it has one: a student reads every view for itself.
    views : int
        How many, of ``VIEWS``.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px
        Of the network.
    """

    def __init__(self, network: nn.Module, views: int):
        super().__init__()
        self.network, self.views = network, views
        self.reads_tokens = bool(getattr(network, "reads_tokens", False))
        self.tile_px: int | None = getattr(network, "tile_px", None)
        self.grid_px = int(getattr(network, "grid_px", 16))
        self.eval()

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits of the mean of all views' probabilities; see the network."""
        total: dict[str, Tensor] = {}
        for view in _VIEWS[: self.views]:
            seen = view.of(image)
            outputs = self.network(seen, None if tokens is None else view.of(tokens))
            height, width = seen.shape[-2:]
            for head, x in outputs.items():
                told = x[..., :height, :width].float()
                if head in _PROBABILITIES:
                    told = told.softmax(1)
                told = view.back(told, vectors=head == "offsets")
                total[head] = total[head] + told if head in total else told
        return {head: self._mean(head, x) for head, x in total.items()}

    def _mean(self, head: str, total: Tensor) -> Tensor:
        mean = total / self.views
        return mean.clamp_min(_LEAST).log() if head in _PROBABILITIES else mean


def with_views(model: Model, views: int) -> Model:
    """Return a model that looks at every region in several ways.

    Parameters
    ----------
    model : Model
        As ``nuguide.load`` or ``with_backend`` returns it. It is not changed.
    views : int
        1, 2, 4 or 8; so many times as long the network takes.

    Returns
    -------
    Model
        Another function: its ``views`` say so.

    Raises
    ------
    InputError
        If it is no such number, or the model has several views already.

    Notes
    -----
    A guide by name encodes the region once, as it lies; its tokens are turned with the image, as
    they are in training. The calibration of the card stays; it was fitted to one view.
    """
    if views not in VIEWS:
        raise InputError(
            f"views is {views}; expected 1, 2, 4 or 8; 4 are enough for most of what they give"
        )
    if views == model.views:
        return model
    if model.views != 1:
        raise InputError(
            f"the model has {model.views} views already; expected one as nuguide.load returns it; "
            "load it again"
        )
    joined = whole(model)[0] if model.backend == Backend.TORCH else model
    return replace(joined, network=InViews(joined.network, views), views=views)

"""A model that needs no training: what is dark is nucleus. And tissue to match."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nuguide.models.card import Card, NetworkSpec
from nuguide.models.model import Model


class DarkIsNucleus(nn.Module):
    """Logits and distance straight from the darkness of (B, 3, H, W)."""

    grid_px = 32

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(40.0))

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        darkness = 0.6 - image.mean(1, keepdim=True)
        nuclei = torch.cat([-darkness, darkness], dim=1) * self.gain
        return {"nuclei": nuclei, "distance": (darkness / 0.6).clamp(0, 1)}


@pytest.fixture
def model() -> Model:
    card = Card(
        name="dark",
        version="0",
        description="dark is nucleus",
        licence="CC0-1.0",
        mpp=0.5,
        network=NetworkSpec(architecture="eunet3plus"),
        sha256="0" * 64,
    )
    return Model(DarkIsNucleus().eval(), None, card)


@pytest.fixture
def tissue() -> NDArray[np.uint8]:
    """400 x 600 px of pink with 96 dark nuclei, darkest in the middle, on a crooked lattice."""
    y, x = np.mgrid[:400, :600]
    image = np.full((400, 600, 3), (235, 190, 215), float)
    random = np.random.default_rng(0)
    for cy in range(25, 400, 50):
        for cx in range(25, 600, 50):
            at = np.hypot(y - cy - random.integers(-8, 9), x - cx - random.integers(-8, 9))
            inside = at < 12
            image[inside] = 40 + 8 * at[inside][:, None]
    return image.round().astype(np.uint8)


@pytest.fixture
def picture(tissue: NDArray[np.uint8], tmp_path: Path) -> Path:
    import imageio.v3

    path = tmp_path / "tissue.png"
    imageio.v3.imwrite(path, tissue)
    return path

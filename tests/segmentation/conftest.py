"""A model that needs no training, and tissue to match."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.dark_model import dark_model
from nuguide.models.model import Model


@pytest.fixture
def model() -> Model:
    return dark_model()


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


@pytest.fixture(scope="module")
def crowd() -> NDArray[np.uint8]:
    """400 x 500 px in which most nuclei touch their neighbours: where seams go wrong first."""
    random = np.random.default_rng(1)
    depth = np.zeros((400, 500))
    rows, columns = np.indices(depth.shape)
    for cy in range(14, 400, 21):
        for cx in range(14, 500, 21):
            near = np.s_[max(0, cy - 20) : cy + 20, max(0, cx - 20) : cx + 20]
            y, x = rows[near], columns[near]
            (down, across), (tall, wide) = random.uniform(-3, 3, 2), random.uniform(9, 13, 2)
            away = np.hypot((y - cy - down) / tall, (x - cx - across) / wide)
            depth[near] = np.maximum(depth[near], 1 - away)
    image = np.full((400, 500, 3), (235, 190, 215), float)
    image[depth > 0] = 140 - 100 * depth[depth > 0][:, None]
    return image.round().astype(np.uint8)


@pytest.fixture
def picture(tissue: NDArray[np.uint8], tmp_path: Path) -> Path:
    import imageio.v3

    path = tmp_path / "tissue.png"
    imageio.v3.imwrite(path, tissue)
    return path

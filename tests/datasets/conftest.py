"""Small pictures and layouts, written by the tests; see also ``fixtures.replicas``."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import write_monuseg
from fixtures.replicas import write_picture as write


@pytest.fixture
def write_picture() -> Callable[[Path, np.ndarray], None]:
    return write


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return an image, (20, 30, 3), red in RGB, and its label map with nuclei 3 and 300."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    labels = np.zeros((20, 30), np.uint16)
    labels[2:6, 2:6], labels[6:12, 2:6] = 3, 300
    return image, labels


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    """Write MoNuSeg's layout with two images to fit on, six of validation and two of test."""
    write_monuseg(tmp_path / "monuseg")
    return tmp_path / "monuseg"


@pytest.fixture
def plain_folder(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    """Write a folder with the images ``a`` and ``b``: a label map, a binary mask."""
    root = tmp_path / "plain"
    for name, mask in (("a", pair[1]), ("b", (pair[1] > 0).astype(np.uint8) * 255)):
        write(root / "images" / f"{name}.png", pair[0])
        write(root / "masks" / f"{name}.tif", mask)
    return root

"""A small replica of MoNuSeg's layout, and plain folders, written by the tests."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from nuguide.datasets.monuseg import VALIDATION

Write = Callable[..., Path]


def _picture(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


@pytest.fixture
def write_picture() -> Callable[[Path, np.ndarray], None]:
    return _picture


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return an image, (20, 30, 3), red in RGB, and its label map with nuclei 3 and 300."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[..., 0] = 200
    labels = np.zeros((20, 30), np.uint16)
    labels[2:6, 2:6], labels[6:12, 2:6] = 3, 300
    return image, labels


@pytest.fixture
def replica(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    """Write MoNuSeg's layout with two images to fit on, six of validation and two of test."""
    root = tmp_path / "monuseg"
    cases = {"TCGA-AA-0001-01Z": "train", "TCGA-AA-0002-01Z": "train"}
    cases |= dict.fromkeys(sorted(VALIDATION), "train")
    cases |= {"TCGA-BB-0001-01Z": "test", "TCGA-BB-0002-01Z": "test"}
    rows = []
    for number, (case, split) in enumerate(cases.items()):
        image, labels = pair[0].copy(), pair[1]
        image[0, 0] = number
        _picture(root / "images" / f"{case}.png", image[..., ::-1])
        _picture(root / "masks" / f"{case}.png", labels)
        rows.append(
            {"case": case, "monuseg2018_split": split, "organ": "Liver", "patient": case[:12]}
        )
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["case", "monuseg2018_split", "organ", "patient"])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture
def plain_folder(tmp_path: Path, pair: tuple[np.ndarray, np.ndarray]) -> Path:
    """Write a folder with the images ``a`` and ``b``: a label map, a binary mask."""
    root = tmp_path / "plain"
    for name, mask in (("a", pair[1]), ("b", (pair[1] > 0).astype(np.uint8) * 255)):
        _picture(root / "images" / f"{name}.png", pair[0][..., ::-1])
        _picture(root / "masks" / f"{name}.tif", mask)
    return root

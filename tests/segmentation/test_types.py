from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fixtures.dark_model import DarkIsNucleus
from nuguide.colours import TYPE_COLOURS
from nuguide.models.model import Model
from nuguide.segmentation.planning import Cut
from nuguide.segmentation.record import read_record
from nuguide.segmentation.run import segment_slide
from nuguide.segmentation.types import types_of
from nuguide.slides.reader import from_array

CLASSES = ("left", "middle", "right")


def test_the_greatest_mean_probability_decides():
    labels = np.array([[1, 1, 1, 0, 3]], np.int32)  # 2 has no pixel
    probabilities = np.array([[[0.4, 0.4, 0.4, 1, 0]], [[0.6, 0.5, 0.0, 0, 1]]], np.float32)
    assert types_of(labels, probabilities)[[1, 3]].tolist() == [0, 1], "two of three pixels say 1"
    assert types_of(np.zeros((2, 3), np.int32), np.ones((4, 2, 3), np.float32)).shape == (1,)


class TellsRedApart(DarkIsNucleus):
    """Names a nucleus by how red it is, in thirds of 0..1."""

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        red = image[:, :1]
        types = torch.cat([-(((red - at) * 10) ** 2) for at in (0.1, 0.3, 0.5)], dim=1)
        return super().forward(image, tokens) | {"types": types}


@pytest.fixture
def discs() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw 64 discs of three reds on white, and return the number of each pixel's class, from 1."""
    kinds = np.random.default_rng(0).integers(1, 4, (8, 8))
    y, x = np.mgrid[:512, :512]
    inside = (y % 64 - 32) ** 2 + (x % 64 - 32) ** 2 < 18**2
    classes = np.where(inside, kinds[y // 64, x // 64], 0)
    image = np.full((512, 512, 3), 255, np.uint8)
    image[inside] = 20
    image[..., 0] = np.where(inside, np.array([0, 26, 77, 128])[classes], 255)
    return image, classes


@pytest.mark.parametrize("region_px", [64, 1024])
def test_each_nucleus_has_its_type_however_the_image_is_cut(
    model: Model, discs: tuple[NDArray[np.uint8], NDArray[np.int64]], region_px: int, tmp_path: Path
):
    image, classes = discs
    card = model.card.model_copy(update={"classes": CLASSES})
    typed = replace(model, network=TellsRedApart().eval(), card=card)
    result = segment_slide(from_array(image, 0.25), typed, cut=Cut(region_px))
    assert result.nuclei.num_rows == 64
    at = [result.nuclei[f"centroid_{axis}_px"].to_numpy().astype(int) for axis in "yx"]
    wanted = [CLASSES[number - 1] for number in classes[tuple(at)]]
    assert result.nuclei["type"].to_pylist() == wanted
    assert len(set(wanted)) == 3
    folder = result.save(tmp_path / "out")
    assert read_record(folder)["found"]["types"] == Counter(wanted)
    drawing = cv2.imread(str(folder / "overlay.png"))[..., ::-1].reshape(-1, 3).astype(int)
    for colour in TYPE_COLOURS[:3]:
        nearest = np.abs(drawing - colour).max(1).min()  # lines are smoothed
        assert nearest < 50, "each type is drawn in its colour"

"""A replica of MoNuSeg in miniature, a fake teacher and quick recipes."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.datasets.monuseg import VALIDATION
from nuguide.guides.base import Embedding
from nuguide.training.recipe import DistillationRecipe, SegmentationRecipe
from nuguide.training.recipe_file import checked_recipe


def _tissue(size: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw discs of haematoxylin on eosin: an image and its label map."""
    random = np.random.default_rng(seed)
    image = np.full((size, size, 3), (230, 160, 200), np.uint8)
    labels = np.zeros((size, size), np.int32)
    for number in range(1, 9):
        centre = tuple(int(c) for c in random.integers(0, size, 2))
        cv2.circle(labels, centre, 12, number, -1)
        cv2.circle(image, centre, 12, (90, 60, 150), -1)
    noisy = image + random.normal(0, 6, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def sample() -> Sample:
    image, labels = _tissue(128, 0)
    return Sample("tissue", image, labels, 0.25)


def write_data(root: Path, n_validation: int) -> Path:
    """Write two images to fit on, some of validation, one of test; 128 px at 0.25 um/px."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    validation = dict.fromkeys(sorted(VALIDATION)[:n_validation], "train")
    cases = {"fit-1": "train", "fit-2": "train", **validation, "test-1": "test"}
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "monuseg2018_split", "organ", "patient"])
        for seed, (case, split) in enumerate(cases.items()):
            image, labels = _tissue(128, seed)
            cv2.imwrite(str(root / "images" / f"{case}.png"), image[..., ::-1])
            cv2.imwrite(str(root / "masks" / f"{case}.png"), labels.astype(np.uint16))
            writer.writerow([case, split, "Liver", case])
    return root


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """Write the replica with one image of validation."""
    return write_data(tmp_path_factory.mktemp("monuseg"), 1)


@pytest.fixture(scope="session")
def data_with_two_of_validation(tmp_path_factory) -> Path:
    """Write the replica with two images of validation, which can be shuffled."""
    return write_data(tmp_path_factory.mktemp("monuseg"), 2)


class FakeTeacher:
    """A frozen guide of fields of 128 um whose tokens are mean colours, spread over channels."""

    name = "fake-teacher"
    sha256 = "f" * 64
    field_um = 128.0

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        self.calls += 1
        colours = np.stack(
            [cv2.resize(each, (64, 64), interpolation=cv2.INTER_AREA) for each in rgb]
        )
        values = torch.from_numpy(colours).movedim(-1, 1).float() / 255
        mixing = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
        tokens = torch.einsum("kc,bcyx->bkyx", mixing, values)
        return Embedding(tokens, self.field_um / 64, self.name, self.sha256)


@pytest.fixture(scope="session")
def make_teacher() -> type[FakeTeacher]:
    return FakeTeacher


@pytest.fixture(scope="module")
def fake_teacher() -> FakeTeacher:
    return FakeTeacher()


_QUICK = {
    "crop_px": 32,
    "batch": 2,
    "steps": 4,
    "epoch_steps": 2,
    "warmup_steps": 1,
    "learning_rate": 1e-2,
    "ema": 0.5,
}


def segmentation(**changes) -> SegmentationRecipe:
    network = {
        "architecture": "eunet3plus",
        "options": {"width": 2, "heads": ["nuclei", "distance"]},
    }
    values = {"kind": "segmentation", "name": "quick", "network": network}
    return checked_recipe(values | _QUICK | changes, "test")


def guided(student_run: Path, **changes) -> SegmentationRecipe:
    options = {"width": 2, "fusion": "cross", "fusion_level": 3, "window": 4}
    return segmentation(
        name="guided",
        network={"architecture": "eunet3plus", "options": options},
        guide={"kind": "student", "name": str(student_run)},
        **changes,
    )


def distillation(**changes) -> DistillationRecipe:
    student = {"widths": [4, 8, 8, 8], "blocks": 1}
    values = {"kind": "distillation", "name": "student", "student": student}
    return checked_recipe(values | _QUICK | changes, "test")


@pytest.fixture(scope="session")
def make_segmentation():
    return segmentation


@pytest.fixture(scope="session")
def make_guided():
    return guided


@pytest.fixture(scope="session")
def make_distillation():
    return distillation

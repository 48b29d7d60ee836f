"""What the publication says: its table, its data sets and how it trained on each.

Swain, Cheoi, Ko, "SAM Guided Task-Specific Enhanced Nuclei Segmentation in Digital Pathology",
MICCAI 2024, 10.1007/978-3-031-72114-4_52, and the code released with it (MIT licence).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nuguide.datasets.conic import is_conic
from nuguide.datasets.cryonuseg import is_cryonuseg
from nuguide.datasets.nuinsseg import is_nuinsseg
from nuguide.datasets.opening import LAYOUTS
from nuguide.training.ablation.grid import Changes

RECIPE = "released"
GRID = Path(__file__).with_name("grid.toml")

NETWORKS = {
    "unet": "U-Net",
    "ddunet": "DDU-Net",
    "unet3plus": "U-Net3+",
    "eunet3plus": "eU-Net3+",
    "eunet3plus-guided": "eU-Net3+, SAM",
}
"""Variants of the grid and their names in the table, in its order."""


@dataclass(frozen=True)
class Figures:
    """A cell of the published table.

    Attributes
    ----------
    dice, miou : float
        As the released code computes them: weighted by each class's share of the true pixels,
        background included, per image, then the mean. Close to pixel accuracy.
    """

    dice: float
    miou: float


@dataclass(frozen=True)
class PublishedSet:
    """A data set of the published table.

    Attributes
    ----------
    name, title : str
        For names of runs, and for a person.
    recognise : callable
        Tells whether a folder holds it, as ``nuguide.datasets.opening`` does.
    figures : dict of str to Figures
        By network.
    changes : dict
        How its training differs from the recipe ``released``.
    split : str
        What is known of the published split.
    sources : tuple of str
        Where its publishers hand it out.
    """

    name: str
    title: str
    recognise: Callable[[Path], bool]
    figures: dict[str, Figures]
    changes: Changes
    split: str
    sources: tuple[str, ...]

    @property
    def looks_like(self) -> str:
        """What is in its folder."""
        return next(layout.looks_like for layout in LAYOUTS if layout.recognise is self.recognise)


def _figures(*pairs: tuple[float, float]) -> dict[str, Figures]:
    return {name: Figures(*pair) for name, pair in zip(NETWORKS, pairs, strict=True)}


SETS = (
    PublishedSet(
        name="cryonuseg",
        title="CryoNuSeg",
        recognise=is_cryonuseg,
        figures=_figures(
            (0.7371, 0.610), (0.8143, 0.6822), (0.778, 0.6432), (0.8401, 0.7644), (0.8942, 0.8164)
        ),
        changes={"learning_rate": 1e-4, "views": 99},
        split="30 images; the released code's paths name a fold of ten, and not which images",
        sources=(
            "https://github.com/masih4/CryoNuSeg",
            "https://www.kaggle.com/ipateam/segmentation-of-nuclei-in-cryosectioned-he-images",
        ),
    ),
    PublishedSet(
        name="nuinsseg",
        title="NuInsSeg",
        recognise=is_nuinsseg,
        figures=_figures(
            (0.797, 0.6781), (0.7154, 0.6133), (0.7844, 0.7261), (0.8307, 0.8163), (0.9399, 0.8938)
        ),
        changes={"learning_rate": 1e-4, "views": 48},
        split=(
            "665 images; the released code takes 70, 15 and 15 % of each organ to fit, validate "
            "and test, in the order in which a file system lists them"
        ),
        sources=(
            "https://github.com/masih4/NuInsSeg",
            "https://www.kaggle.com/datasets/ipateam/nuinsseg",
        ),
    ),
    PublishedSet(
        name="conic",
        title="CoNIC",
        recognise=is_conic,
        figures=_figures(
            (0.7353, 0.6214), (0.827, 0.7347), (0.8474, 0.7992), (0.8966, 0.8539), (0.9351, 0.8869)
        ),
        changes={"learning_rate": 1e-5, "views": 1},
        split="4,981 patches; nothing more is said",
        sources=("https://conic-challenge.grand-challenge.org/",),
    ),
)
"""In the order of the published table."""

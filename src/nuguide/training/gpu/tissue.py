"""All annotated tissue on the device, and a guide's tokens of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nuguide.guides.base import Embedding, Guide
from nuguide.guides.controls import derangement
from nuguide.guides.fields import encode_extent
from nuguide.guides.student import StudentGuide
from nuguide.guides.tinyvit import TinyVitSamGuide
from nuguide.training.gpu.plan import Pack

if TYPE_CHECKING:
    from nuguide.training.recipe import SegmentationRecipe


@dataclass(frozen=True)
class Tissue:
    """The images to fit on, in one tensor each; smaller ones fill its top left corner.

    Attributes
    ----------
    images : Tensor
        (N, 3, H, W) uint8 RGB.
    labels : Tensor
        (N, 1, H, W) int32 instance maps, 0 = background.
    cut : Tensor
        (N, ``most`` + 1, 4) bool: of each number, whether the image's upper, lower, left and right
        edge cuts that nucleus.
    distance : Tensor or None
        (N, 1, H, W) uint8: normalised distance to the nucleus' border in steps of 1/255; None where
        no head learns from it.
    sizes : Tensor
        (N, 2) float32: true height and width of each, px.
    mpp : float
        um/px.
    drawn : Tensor
        (M,) int64: numbers of images, of which one is drawn for each crop; some stand there more
        than once.
    ignore : Tensor or None
        (N, 1, H, W) uint8: 1 where the annotation is ambiguous; None where it nowhere is.
    """

    images: Tensor
    labels: Tensor
    cut: Tensor
    distance: Tensor | None
    sizes: Tensor
    mpp: float
    drawn: Tensor
    ignore: Tensor | None = None

    @property
    def most(self) -> int:
        """The greatest number of a nucleus in any of the images."""
        return self.cut.shape[1] - 1


@dataclass(frozen=True)
class ValidationImage:
    """An image of validation at the um/px the network works at.

    Attributes
    ----------
    name : str
        Of the image.
    rgb : ndarray
        (H, W, 3) uint8.
    labels : ndarray
        (H, W) int32.
    ignore : ndarray or None
        (H, W) bool: where the annotation is ambiguous.
    """

    name: str
    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    ignore: NDArray[np.bool_] | None = None


class KnownTokens:
    """A guide that hands out tokens that were made before."""

    field_um = None

    def __init__(self, tokens: Tensor, token_um: float, name: str, sha256: str):
        self.tokens, self.token_um, self.name, self.sha256 = tokens, token_um, name, sha256

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Return the tokens, whatever is shown."""
        return Embedding(self.tokens[None].float(), self.token_um, self.name, self.sha256)


def read_tissue(pack: Pack, device: torch.device) -> Tissue:
    """Unpack the images to fit on."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    distances: list[Tensor] = []
    ignored: list[Tensor] = []
    while f"fit.{len(images)}.image" in pack.arrays:
        number = len(images)
        images.append(torch.from_numpy(pack.picture(f"fit.{number}.image")).movedim(-1, 0))
        instances = pack.picture(f"fit.{number}.labels").astype(np.int32)
        labels.append(torch.from_numpy(instances)[None])
        if f"fit.{number}.distance" in pack.arrays:
            distances.append(torch.from_numpy(pack.picture(f"fit.{number}.distance"))[None])
        ignore = _ignored(pack, f"fit.{number}.ignore")
        blank = np.zeros(instances.shape, np.bool_)
        ignored.append(torch.from_numpy(blank if ignore is None else ignore)[None])
    sizes = torch.tensor([image.shape[1:] for image in images], dtype=torch.float32)
    return Tissue(
        stacked(images).to(device),
        stacked(labels).to(device),
        cut_by_the_edge(labels).to(device),
        stacked(distances).to(device) if distances else None,
        sizes.to(device),
        pack.values["fit_mpp"],
        torch.tensor(pack.values.get("drawn", range(len(images)))).to(device),
        stacked(ignored).byte().to(device) if any(each.any() for each in ignored) else None,
    )


def _ignored(pack: Pack, key: str) -> NDArray[np.bool_] | None:
    return pack.picture(key) > 0 if key in pack.arrays else None


def cut_by_the_edge(labels: Sequence[Tensor]) -> Tensor:
    """Tell of each number, in each of some instance maps (1, h, w), at which edges it lies.

    Returns
    -------
    Tensor
        (N, most + 1, 4) bool: upper, lower, left, right.
    """
    most = max(int(each.max()) for each in labels)
    cut = torch.zeros(len(labels), 1 + most, 4, dtype=torch.bool)
    for row, each in zip(cut, labels, strict=True):
        for side, edge in enumerate((each[0, 0], each[0, -1], each[0, :, 0], each[0, :, -1])):
            row[edge.long(), side] = True
    return cut


def read_validation(pack: Pack) -> list[ValidationImage]:
    """Unpack the images of validation."""
    return [
        ValidationImage(
            name,
            np.asarray(pack.picture(f"validation.{number}.image"), np.uint8),
            pack.picture(f"validation.{number}.labels").astype(np.int32),
            _ignored(pack, f"validation.{number}.ignore"),
        )
        for number, name in enumerate(pack.values["validation"])
    ]


def stacked(maps: Sequence[Tensor]) -> Tensor:
    """Stack maps (C, h, w) of any size into (N, C, H, W); what is missing is zero."""
    height, width = (max(each.shape[side] for each in maps) for side in (1, 2))
    return torch.stack(
        [F.pad(each, (0, width - each.shape[2], 0, height - each.shape[1])) for each in maps]
    )


def build_guide(pack: Pack, recipe: "SegmentationRecipe", device: torch.device) -> Guide | None:
    """Build the guide of a recipe from the weights that travelled; None where it has none."""
    about: dict[str, Any] = pack.values["guides"][recipe.name]
    if about["kind"] == "none":
        return None
    state = {key: torch.from_numpy(value) for key, value in pack.weights(about["prefix"]).items()}
    if about["kind"] == "student":
        student = StudentGuide(**about["options"])
        student.load_state_dict(state)
        return student.to(device).eval().requires_grad_(False)
    whole = {key: x.float() if x.is_floating_point() else x for key, x in state.items()}
    return TinyVitSamGuide(whole, about["field_um"]).to(device)


def tokens_of(
    guide: Guide, images: Sequence[NDArray[np.uint8]], mpp: float, recipe: "SegmentationRecipe"
) -> tuple[list[Tensor], float]:
    """Encode images, (H, W, 3) uint8 at ``mpp``, and apply the recipe's control.

    Returns
    -------
    tokens : list of Tensor
        (256, h, w) float16 each, on the guide's device.
    token_um : float
        Side of a token, um.
    """
    made = [encode_extent(guide, rgb, mpp) for rgb in images]
    tokens = [each.values[0].half() for each in made]
    if recipe.guide_control == "zeroed":
        tokens = [torch.zeros_like(each) for each in tokens]
    elif recipe.guide_control == "shuffled":
        tokens = [tokens[other] for other in derangement(len(tokens), recipe.seed)]
    return tokens, made[0].token_um

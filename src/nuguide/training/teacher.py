"""A guide's tokens, encoded once and kept."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from nuguide.errors import GuideError, RecipeError
from nuguide.files import make_folder, replacing
from nuguide.guides.base import Embedding, Guide
from nuguide.guides.fields import encode_extent

FIELD_TOKENS = 64
"""Tokens along a field of a SAM encoder: 1024 px in patches of 16."""


class CachedGuide:
    """A frozen guide with a field that never encodes the same pixels twice.

    Validation sees the same images after every epoch and in every run. The tokens come back as
    float16 has kept them.

    Parameters
    ----------
    guide : Guide
        The guide itself, with a field.
    folder : Path
        Where the tokens are kept, shared by runs; see ``cached_tokens``.
    """

    def __init__(self, guide: Guide, folder: Path):
        if guide.field_um is None:
            raise RecipeError(
                f"{guide.name} reads any extent; expected a guide with a field, whose tokens are "
                "kept; name one of 'nuguide guides list'"
            )
        self.guide, self.folder = guide, folder
        self.name, self.sha256 = guide.name, guide.sha256
        self.field_um = guide.field_um
        self.token_um = guide.field_um / FIELD_TOKENS

    def encode(self, rgb: NDArray[np.uint8], mpp: float) -> Embedding:
        """Return the tokens of (B, H, W, 3), from the folder where it holds them."""
        kept = [cached_tokens(self.guide, each, mpp, self.folder) for each in rgb]
        return Embedding(torch.stack(kept).float(), self.token_um, self.name, self.sha256)


def tokens_folder(run: Path) -> Path:
    """Return where the tokens are kept that a run shares with those beside it."""
    return run.parent / "tokens"


def cached_tokens(guide: Guide, rgb: NDArray[np.uint8], mpp: float, folder: Path) -> Tensor:
    """Return the tokens of an image, from ``folder`` where it holds them.

    The file's name is made of the guide's name, the digests of guide and image and the guide's
    field, so that a cache shared by many runs can never hand out another's tokens. The name counts
    because guides of the same weights may be fed otherwise: MedSAM's 0 to 1, SAM's standardised.

    Parameters
    ----------
    guide : Guide
        A frozen guide.
    rgb : ndarray
        (H, W, 3) uint8 RGB.
    mpp : float
        um/px of ``rgb``.
    folder : Path
        Made if it is missing.

    Returns
    -------
    Tensor
        (256, h, w) float16.

    Raises
    ------
    GuideError
        If the file of these tokens is damaged.
    OutputError
        If ``folder`` cannot be written.
    """
    pixels = hashlib.sha256(f"{guide.name} {rgb.shape} {mpp}".encode() + rgb.tobytes()).hexdigest()
    path = folder / f"{guide.sha256[:16]}-{pixels[:16]}-{guide.field_um}.safetensors"
    if not path.is_file():
        _keep(encode_extent(guide, rgb, mpp).values[0].half().contiguous(), path)
    try:
        return load_file(path)["tokens"].to(torch.float16)
    except (SafetensorError, OSError, KeyError) as error:
        raise GuideError(
            f"{path} is damaged ({error}); expected the tokens of an image; delete it, and they "
            "are made again"
        ) from error


def _keep(tokens: Tensor, path: Path) -> None:
    advice = "give another --out"
    make_folder(path.parent, advice)
    with replacing(path, advice) as aside:
        aside.write_bytes(save({"tokens": tokens}))

"""A guide's tokens of whole training images, encoded once and kept."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from nuguide.guides.base import Guide
from nuguide.guides.fields import encode_extent


def cached_tokens(guide: Guide, rgb: NDArray[np.uint8], mpp: float, folder: Path) -> Tensor:
    """Return the tokens of an image, from ``folder`` where it holds them.

    The file's name is made of the digests of guide and image and of the guide's field, so that a
    cache shared by many runs can never hand out another's tokens.

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
    """
    pixels = hashlib.sha256(f"{rgb.shape} {mpp}".encode() + rgb.tobytes()).hexdigest()
    path = folder / f"{guide.sha256[:16]}-{pixels[:16]}-{guide.field_um}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        tokens = encode_extent(guide, rgb, mpp).values[0].half().contiguous()
        aside = path.with_suffix(".part")
        save_file({"tokens": tokens}, aside)
        aside.replace(path)
    return load_file(path)["tokens"].to(torch.float16)

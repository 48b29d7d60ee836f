"""A guide's tokens of whole training images, encoded once and kept."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from nuguide.errors import GuideError
from nuguide.files import make_folder, replacing
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

    Raises
    ------
    GuideError
        If the file of these tokens is damaged.
    OutputError
        If ``folder`` cannot be written.
    """
    pixels = hashlib.sha256(f"{rgb.shape} {mpp}".encode() + rgb.tobytes()).hexdigest()
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

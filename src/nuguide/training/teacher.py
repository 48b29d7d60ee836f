"""A guide's tokens of whole training images, encoded once and kept."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nuguide.errors import GuideError, OutputError
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
    # Several trainings may share the folder: each writes aside under a name of its own.
    aside = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({"tokens": tokens}, aside)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    # safetensors reports a full disk or a refused write as its own error.
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{path.parent} cannot be written ({error}); expected room and write permission for "
            "the guide's tokens; give another --out"
        ) from error

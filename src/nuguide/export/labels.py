"""The label map as TIFF, for ImageJ, napari, QuPath or any reader of images."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from nuguide.files import replacing

_TILE_PX = 256
_UM_PER_CM = 10_000.0


def write_labels(labels: NDArray[np.int32], path: Path, mpp: float) -> None:
    """Write a label map as a tiled, deflated TIFF with its scale in the resolution tags.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 >= 0; 0 = background, n = row n - 1 of the nucleus table.
    path : Path
        Ends in ``.tif``.
    mpp : float
        um/px of ``labels``.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.

    Notes
    -----
    16 bits where they suffice, else 32: more programs read the former.
    """
    kind = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    per_cm = _UM_PER_CM / mpp
    with replacing(path) as aside:
        tifffile.imwrite(
            aside,
            labels.astype(kind),
            photometric="minisblack",
            tile=(_TILE_PX, _TILE_PX),
            compression="zlib",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            metadata=None,
            software=False,
        )

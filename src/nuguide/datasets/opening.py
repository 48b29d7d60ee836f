"""From a path to samples: which data set is it?"""

from collections.abc import Sequence
from pathlib import Path

from nuguide.datasets.base import Sample, Split
from nuguide.datasets.folder import load_folder
from nuguide.datasets.monuseg import is_monuseg, load_monuseg
from nuguide.errors import DataSetError


def open_dataset(root: Path, split: Split = "all", mpp: float | None = None) -> Sequence[Sample]:
    """Read the samples of one split of the data set in ``root``.

    Parameters
    ----------
    root : Path
        MoNuSeg 2018, or a folder with ``images/`` and ``masks/`` (which has one split, ``all``).
    split : Split
        Which part.
    mpp : float or None
        um/px of a folder; data sets that are known bring their own.

    Returns
    -------
    sequence of Sample
        At least one.

    Raises
    ------
    DataSetError
        If ``root`` is no folder, a plain folder is asked for a split, or a file is missing or
        damaged (see ``load_monuseg``, ``load_folder``).
    ResolutionError
        If a plain folder's ``mpp`` is missing or out of range.
    """
    if not root.is_dir():
        raise DataSetError(
            f"{root} is no folder; expected the folder of a data set: MoNuSeg 2018, or images/ and "
            "masks/; check the path"
        )
    if is_monuseg(root):
        return load_monuseg(root, split)
    if split != "all":
        raise DataSetError(
            f"{root} is a plain folder of images/ and masks/, which has no split {split!r}; "
            "give the folder of one split, and --split all"
        )
    return load_folder(root, mpp)

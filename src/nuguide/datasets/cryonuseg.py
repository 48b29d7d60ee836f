"""CryoNuSeg: 30 frozen H&E sections of 512 x 512 px at 40x, ten organs, three patients each.

Mahbod et al., Computers in Biology and Medicine 132, 2021. CC BY-NC-SA 4.0.

::

    tissue images/Human_<organ>_<number>.tif
    Annotator 1 (biologist)/label masks modify/<image>.tif
    Annotator 1 (biologist second round of manual marks up)/...
    Annotator 2 (bioinformatician)/...

An annotator's folder may lie in another of the same name, as the archive unpacks; and the masks of
annotator 1 may lie beside the images. The folder of the whole opens annotator 1's first round; an
annotator's own folder opens what that annotator marked.
"""

import re
from functools import partial
from pathlib import Path

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry
from nuguide.datasets.folder import unpaired
from nuguide.datasets.pictures import by_stem, read_pair
from nuguide.errors import DataSetError

MPP = 0.25
"""um/px, nominal at 40x."""

FOLDS = (3, 10)
"""Folds of ten images, one of each organ; or the data set paper's number, of three organs each."""

_IMAGES, _MASKS = "tissue images", "label masks modify"
_NAME = re.compile(r"Human_([A-Za-z]+)_\d+")


def is_cryonuseg(root: Path) -> bool:
    """Tell whether ``root`` is CryoNuSeg, or the folder of one of its annotators."""
    return _image_folder(root) is not None


def open_cryonuseg(root: Path, mpp: float | None = None) -> DataSet:
    """Open CryoNuSeg; ``mpp`` is not needed and not read.

    Raises
    ------
    DataSetError
        If there are no masks, or an image is not named as in the data set.
    """
    pictures, masks = _image_folder(root), _mask_folder(root)
    if pictures is None or masks is None:
        raise DataSetError(
            f"{root} has no folder {_MASKS!r}; expected CryoNuSeg's, in 'Annotator 1 (biologist)' "
            "or beside 'tissue images'; unpack the data set as a whole"
        )
    images, maps = by_stem(pictures), by_stem(masks)
    entries = [
        Entry(
            stem,
            partial(_read, path, maps[stem], organ_of(path)),
            organ=organ_of(path),
            patient=stem,  # three slides of three patients an organ
        )
        for stem, path in images.items()
        if stem in maps
    ]
    marked = masks.parent.name if masks.parent != pictures.parent else "Annotator 1"
    return DataSet(
        name="cryonuseg",
        title=f"CryoNuSeg, {marked}",
        licence="CC BY-NC-SA 4.0",
        root=root,
        entries=tuple(entries),
        findings=unpaired(masks.parent, images, maps),
        fold_counts=FOLDS,
        folds_by_default=True,
    )


def organ_of(path: Path) -> str:
    """Return the organ that an image's name tells.

    Raises
    ------
    DataSetError
        If it is named otherwise.
    """
    told = _NAME.fullmatch(path.stem)
    if told is None:
        raise DataSetError(
            f"{path} is not named as in CryoNuSeg; expected Human_<organ>_<number>; take the data "
            "set again"
        )
    return told[1]


def _image_folder(root: Path) -> Path | None:
    """Find the images: in ``root``, or above it where it is an annotator's folder."""
    above = [root.parent, root.parent.parent] if root.name.startswith("Annotator") else []
    for folder in (root, *above):
        if any(_NAME.fullmatch(path.stem) for path in (folder / _IMAGES).glob("*.tif")):
            return folder / _IMAGES
    return None


def _mask_folder(root: Path) -> Path | None:
    first = "Annotator 1 (biologist)"
    inner = root / root.name
    places = [root, inner, root / first, root / first / first]
    return next((place / _MASKS for place in places if (place / _MASKS).is_dir()), None)


def _read(path: Path, mask: Path, organ: str) -> Sample:
    image, labels = read_pair(path, mask)
    return Sample(path.stem, image, labels, MPP, organ=organ, patient=path.stem)

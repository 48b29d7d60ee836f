"""NuInsSeg: 665 H&E images of 512 x 512 px at 40x, 31 organs of man and mouse.

Mahbod et al., Scientific Data 11, 2024. CC BY 4.0.

::

    <organ>/tissue images/<image>.png
    <organ>/label masks modify/<image>.tif
    <organ>/vague areas/mask binary/<image>.png    not 0 where the annotation is ambiguous

The data do not tell which images are of one slide, and the published folds divide images: a slide
may lie on both sides. For that no rule of ours can make up.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.folder import unpaired
from nuguide.datasets.pictures import by_stem, check_fit, read_mask, read_pair

MPP = 0.25
"""um/px, nominal at 40x."""

FOLDS = 5
_SEED = 19
_IMAGES, _MASKS, _VAGUE = "tissue images", "label masks modify", "vague areas/mask binary"


def is_nuinsseg(root: Path) -> bool:
    """Tell whether folders of ``root`` have the layout of NuInsSeg's organs."""
    return bool(_organs(root))


def open_nuinsseg(root: Path, mpp: float | None = None) -> DataSet:
    """Open NuInsSeg; ``mpp`` is not needed and not read."""
    entries: list[Entry] = []
    findings: list[Finding] = []
    for organ in _organs(root):
        images, masks = by_stem(organ / _IMAGES), by_stem(organ / _MASKS)
        vague = by_stem(organ / _VAGUE)
        findings += unpaired(organ, images, masks)
        entries += [
            Entry(
                stem,
                partial(_read, path, masks[stem], vague.get(stem), organ.name),
                organ=organ.name,
            )
            for stem, path in images.items()
            if stem in masks
        ]
    return DataSet(
        name="nuinsseg",
        title="NuInsSeg",
        licence="CC BY 4.0",
        root=root,
        entries=tuple(sorted(entries, key=lambda entry: entry.name)),
        findings=tuple(findings),
        fold_counts=(FOLDS,),
        fold_rule=published_folds,
        folds_by_default=True,
    )


def published_folds(entries: Sequence[Entry], count: int) -> list[int]:
    """Return each entry's fold, from 0, as in the published splits.

    They are those of scikit-learn's ``KFold(count, shuffle=True, random_state=19)`` over the
    images sorted by name, whose steps are taken here.
    """
    order = np.arange(len(entries))
    # The old generator on purpose: its stream is frozen, and the published folds come from it.
    np.random.RandomState(_SEED).shuffle(order)
    numbers = [0] * len(entries)
    for number, members in enumerate(np.array_split(order, count)):
        for i in members:
            numbers[int(i)] = number
    return numbers


def _organs(root: Path) -> list[Path]:
    folders = [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    return [
        folder
        for folder in folders
        if (folder / _MASKS).is_dir() and any((folder / _IMAGES).glob("*.png"))
    ]


def _read(path: Path, mask: Path, vague: Path | None, organ: str) -> Sample:
    image, labels = read_pair(path, mask)
    ignore = None
    if vague is not None:
        ignore = read_mask(vague)
        check_fit(vague, ignore.shape, path, image.shape)
    return Sample(path.stem, image, labels, MPP, organ=organ, ignore=ignore)

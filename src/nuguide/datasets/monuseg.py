"""MoNuSeg 2018: 44 H&E images of 1000 x 1000 px at 0.25 um/px, 30 to train and 14 to test.

Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE TMI 39(5), 2020; training images
of Kumar et al., IEEE TMI 36(7), 2017. CC BY-NC-SA 4.0. Every image is of another patient.

Read from a folder with ``index.csv`` (columns ``case``, ``monuseg2018_split``, ``organ``,
``patient``), ``images/<case>.png`` and ``masks/<case>.png`` (instance maps).
"""

import csv
from pathlib import Path

from nuguide.datasets.base import Sample, Split
from nuguide.datasets.pictures import read_pair
from nuguide.errors import DataSetError

MPP = 0.25
"""um/px at 40x."""

VALIDATION = frozenset(
    {
        "TCGA-E2-A14V-01Z-00-DX1",  # breast
        "TCGA-B0-5698-01Z-00-DX1",  # kidney
        "TCGA-50-5931-01Z-00-DX1",  # liver
        "TCGA-G9-6348-01Z-00-DX1",  # prostate
        "TCGA-NH-A8F7-01A-01-TS1",  # colon
        "TCGA-RD-A8N9-01A-01-TS1",  # stomach
    }
)
"""Part of the 30 training images on which choices are made: 6 patients, 6 of the 7 organs."""


_MAX_HEADER = 10_000
_COLUMNS = {"case", "monuseg2018_split", "organ", "patient"}


def is_monuseg(root: Path) -> bool:
    """Tell whether ``root`` has the layout that ``load_monuseg`` reads."""
    index = root / "index.csv"
    if not index.is_file():
        return False
    with index.open(encoding="utf-8", errors="replace") as file:
        return "monuseg2018_split" in file.readline(_MAX_HEADER)


def load_monuseg(root: Path, split: Split) -> list[Sample]:
    """Read one part of MoNuSeg 2018, in the order of the index.

    Parameters
    ----------
    root : Path
        The folder.
    split : Split
        ``train`` and ``test`` are official, ``validation`` is ``VALIDATION``, ``fit`` the rest of
        ``train``.

    Returns
    -------
    list of Sample
        At 0.25 um/px, with organ and patient.

    Raises
    ------
    DataSetError
        If the folder has another layout, a file is missing or damaged, or nothing belongs to the
        split.
    """
    rows = [row for row in _index(root) if _belongs(row, split)]
    if not rows:
        raise DataSetError(
            f"{root} has no image of the split {split!r} in index.csv; expected MoNuSeg 2018 as a "
            "whole; take the data set again"
        )
    return [_sample(root, row) for row in rows]


def _index(root: Path) -> list[dict[str, str]]:
    if not is_monuseg(root):
        raise DataSetError(
            f"{root} is not MoNuSeg 2018; expected index.csv with a column monuseg2018_split, "
            "images/ and masks/; give the folder that holds them"
        )
    try:
        with (root / "index.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataSetError(
            f"{root / 'index.csv'} is no table ({error}); expected CSV in UTF-8; "
            "take the data set again"
        ) from error
    for number, row in enumerate(rows, start=2):
        missing = sorted(column for column in _COLUMNS if row.get(column) is None)
        if missing:
            raise DataSetError(
                f"{root / 'index.csv'}, line {number}, has no {missing[0]}; expected the columns "
                f"{', '.join(sorted(_COLUMNS))}; take the data set again"
            )
    return rows


def _sample(root: Path, row: dict[str, str]) -> Sample:
    name = f"{row['case']}.png"
    image, labels = read_pair(root / "images" / name, root / "masks" / name)
    return Sample(
        name=row["case"],
        image=image,
        labels=labels,
        mpp=MPP,
        organ=row["organ"],
        patient=row["patient"],
    )


def _belongs(row: dict[str, str], split: Split) -> bool:
    official = row["monuseg2018_split"]
    if split == "all":
        return True
    if split in ("train", "test"):
        return official == split
    return official == "train" and (row["case"] in VALIDATION) == (split == "validation")

"""MoNuSeg 2018: 44 H&E images of 1000 x 1000 px at 0.25 um/px, 30 to train and 14 to test.

Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE TMI 39(5), 2020; training images
of Kumar et al., IEEE TMI 36(7), 2017. CC BY-NC-SA 4.0. Every image is of another patient.

Read from a folder with ``index.csv`` (columns ``case``, ``monuseg2018_split``, ``organ``,
``patient``), ``images/<case>.png`` and ``masks/<case>.png`` (instance maps).
"""

import csv
from pathlib import Path

from nuguide.datasets.base import Sample, Split
from nuguide.datasets.pictures import read_labels, read_rgb
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


def is_monuseg(root: Path) -> bool:
    """Tell whether ``root`` has the layout that ``load_monuseg`` reads."""
    index = root / "index.csv"
    return index.is_file() and "monuseg2018_split" in index.read_text().partition("\n")[0]


def load_monuseg(root: Path, split: Split) -> list[Sample]:
    """Read one part of MoNuSeg 2018, in the order of the index.

    Raises
    ------
    DataSetError
        If the folder has another layout, or a file is missing.
    """
    if not is_monuseg(root):
        raise DataSetError(
            f"{root} is not MoNuSeg 2018; expected index.csv with a column monuseg2018_split, "
            "images/ and masks/"
        )
    with (root / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if _belongs(row, split)]
    return [
        Sample(
            name=row["case"],
            image=read_rgb(root / "images" / f"{row['case']}.png"),
            labels=read_labels(root / "masks" / f"{row['case']}.png"),
            mpp=MPP,
            organ=row["organ"],
            patient=row["patient"],
        )
        for row in rows
    ]


def _belongs(row: dict[str, str], split: Split) -> bool:
    official = row["monuseg2018_split"]
    if split == "all":
        return True
    if split in ("train", "test"):
        return official == split
    return official == "train" and (row["case"] in VALIDATION) == (split == "validation")

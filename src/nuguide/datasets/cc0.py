"""Two sets in the public domain (CC0), for models whose weights may be used commercially.

Neither records its um/px: what stands here are estimates, the scales at which a nucleus of mean
area is about ``DIAMETER_UM`` across, and every sample says so.

DSB 2018, bright field: the colour images of tissue of the 2018 Data Science Bowl's training part
(Caicedo et al., Nature Methods 16, 2019), with corrected masks. They are quarters of larger
pictures whose borders fit together, and two of these pictures show one place at two scales:
``dsb2018.csv`` names the picture of each image, so that no part is fitted on whose neighbour is
validated on. Which pictures are of one slide is not known.

NuCLS sample: tiles of breast H&E (Amgad et al., GigaScience 11, 2022), outlines partly made by an
algorithm. NuCLS is published at 0.2 um/px, at which nuclei of this sample would be 4.4 um across;
it must have been brought to a coarser scale.
"""

from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from nuguide.datasets.collection import DataSet
from nuguide.datasets.folder import Row, open_folder
from nuguide.datasets.index import header_of, read_index
from nuguide.errors import DataSetError

DIAMETER_UM = 6.5
"""What a nucleus of mean area is taken to measure across, um."""

DSB_MPP = {"pink": 0.177, "fine": 0.158, "coarse": 0.395, "white": 0.306}
"""um/px by the look of an image. ``fine`` is 2.5 times finer than ``coarse``, by the place that
both show; the scale of the two is the (geometric) mean of what the nuclei of each say."""

NUCLS_MPP = 0.297
NUCLS_CLASSES = ("non-tumour", "tumour")

_DSB_COLUMNS = {"case", "kaggle_image_id", "appearance", "n_nuclei", "fg_fraction"}
_NUCLS_COLUMNS = ["case", "split", "width", "height", "n_nuclei", "types"]
_PARTS: dict[str, Literal["train", "validation", "test"]] = {
    "train": "train",
    "validation": "validation",
    "test": "test",
}
_NUCLS_NEIGHBOURS = {"train_6": "train_2", "train_7": "train_5", "test_4": "test_3"}
"""Tiles whose border continues another's."""


def is_dsb(root: Path) -> bool:
    """Tell whether ``root`` has the index of the bright-field images of DSB 2018."""
    return set(header_of(root / "index.csv")) >= _DSB_COLUMNS


def open_dsb(root: Path, mpp: float | None = None) -> DataSet:
    """Open the bright-field images of DSB 2018; ``mpp`` goes before the estimate.

    The four images that look like H&E (``pink``) are quarters of one picture, and of ``train``.

    Raises
    ------
    DataSetError
        As ``open_folder``, or if the index names an image that is none of the 107.
    """
    known, rows = _dsb_rows(), {}
    for row in read_index(root / "index.csv", _DSB_COLUMNS):
        if row["case"] not in known:
            raise DataSetError(
                f"{root / 'index.csv'} names the image {row['case']!r}; expected one of the "
                f"{len(known)} bright-field images of DSB 2018; take the data set again"
            )
        rows[row["case"]] = known[row["case"]]
    found = open_folder(root, mpp, rows)
    return replace(found, name="dsb2018", title="DSB 2018, bright-field tissue", licence="CC0-1.0")


def _dsb_rows() -> dict[str, Row]:
    with as_file(files("nuguide.datasets") / "dsb2018.csv") as path:
        table = read_index(path, {"case", "picture", "look", "split"})
    return {
        row["case"]: Row(
            part=_PARTS[row["split"]],
            source=f"picture {row['picture']}",
            stratum=row["look"],
            mpp=DSB_MPP[row["look"]],
            mpp_estimated=True,
        )
        for row in table
    }


def is_nucls(root: Path) -> bool:
    """Tell whether ``root`` has the index of the NuCLS sample."""
    return header_of(root / "index.csv") == _NUCLS_COLUMNS


def open_nucls(root: Path, mpp: float | None = None) -> DataSet:
    """Open the NuCLS sample; ``mpp`` goes before the estimate.

    Raises
    ------
    DataSetError
        As ``open_folder``, or if the index names an unknown split.
    """
    rows = {}
    for row in read_index(root / "index.csv", set(_NUCLS_COLUMNS)):
        if row["split"] not in _PARTS:
            raise DataSetError(
                f"{root / 'index.csv'} names the split {row['split']!r}; expected train, "
                "validation or test; take the data set again"
            )
        rows[row["case"]] = Row(
            part=_PARTS[row["split"]],
            organ="breast",
            source=_NUCLS_NEIGHBOURS.get(row["case"], row["case"]),
            mpp=NUCLS_MPP,
            mpp_estimated=True,
        )
    found = open_folder(root, mpp, rows)
    return replace(
        found, name="nucls", title="NuCLS sample", licence="CC0-1.0", classes=NUCLS_CLASSES
    )

"""Two sets in the public domain (CC0), for models whose weights may be used commercially.

Neither records its um/px: what stands here are estimates, and every sample says so.

DSB 2018, bright field: the colour images of tissue of the 2018 Data Science Bowl's training part
(Caicedo et al., Nature Methods 16, 2019), with corrected masks. Which images are of one slide is
not known. Its nuclei are 12 to 60 px across, so it was taken at several scales: estimated for each
image so that a nucleus of its mean area is 6 um across.

NuCLS sample: tiles of breast H&E (Amgad et al., GigaScience 11, 2022), outlines partly made by an
algorithm. Estimated at 0.2 um/px, the scale at which NuCLS is published.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

from nuguide.datasets.collection import DataSet
from nuguide.datasets.folder import Row, open_folder
from nuguide.datasets.index import header_of, read_index
from nuguide.errors import DataSetError

DSB_DIAMETER_UM = 6.0
DSB_MPP_RANGE = (0.1, 0.5)
"""Where the scales of microscopes lie that show nuclei as these images do."""

NUCLS_MPP = 0.2
NUCLS_CLASSES = ("non-tumour", "tumour")

_DSB_COLUMNS = {"case", "kaggle_image_id", "appearance", "n_nuclei", "fg_fraction"}
_DSB_PX = 256 * 320
_NUCLS_COLUMNS = ["case", "split", "width", "height", "n_nuclei", "types"]
_PARTS: dict[str, Literal["train", "test"]] = {"train": "train", "test": "test"}


def is_dsb(root: Path) -> bool:
    """Tell whether ``root`` has the index of the bright-field images of DSB 2018."""
    return set(header_of(root / "index.csv")) >= _DSB_COLUMNS


def open_dsb(root: Path, mpp: float | None = None) -> DataSet:
    """Open the bright-field images of DSB 2018; ``mpp`` goes before the estimate.

    Raises
    ------
    DataSetError
        As ``open_folder``, or if the index counts no nuclei.
    """
    rows = {}
    for number, row in enumerate(read_index(root / "index.csv", _DSB_COLUMNS), start=2):
        try:
            area = float(row["fg_fraction"]) * _DSB_PX / int(row["n_nuclei"])
            estimate = DSB_DIAMETER_UM / math.sqrt(4 * area / math.pi)
        except (ValueError, ZeroDivisionError) as error:
            raise DataSetError(
                f"{root / 'index.csv'}, line {number}, tells no area of nuclei ({error}); expected "
                "n_nuclei and fg_fraction, both above 0; take the data set again"
            ) from error
        low, high = DSB_MPP_RANGE
        scale = round(min(max(estimate, low), high), 3)
        rows[row["case"]] = Row(stratum=row["appearance"], mpp=scale, mpp_estimated=True)
    found = open_folder(root, mpp, rows)
    return replace(found, name="dsb2018", title="DSB 2018, bright-field tissue", licence="CC0-1.0")


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
                f"{root / 'index.csv'} names the split {row['split']!r}; expected train or test; "
                "take the data set again"
            )
        rows[row["case"]] = Row(
            part=_PARTS[row["split"]], organ="breast", mpp=NUCLS_MPP, mpp_estimated=True
        )
    found = open_folder(root, mpp, rows)
    return replace(
        found, name="nucls", title="NuCLS sample", licence="CC0-1.0", classes=NUCLS_CLASSES
    )

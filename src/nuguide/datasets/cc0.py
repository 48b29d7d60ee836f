"""Two sets in the public domain (CC0), for models whose weights may be used commercially.

Neither records its um/px: what stands here are estimates, and every sample says so.

DSB 2018, bright field: the colour images of tissue of the 2018 Data Science Bowl's training part
(Caicedo et al., Nature Methods 16, 2019), with corrected masks. Which images are of one slide is
not known. Estimated so that the median nucleus of each appearance is 6 um across.

NuCLS sample: tiles of breast H&E (Amgad et al., GigaScience 11, 2022), outlines partly made by an
algorithm. Estimated at 0.2 um/px, the scale at which NuCLS is published.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from nuguide.datasets.collection import DataSet
from nuguide.datasets.folder import Row, open_folder
from nuguide.datasets.index import header_of, read_index
from nuguide.errors import DataSetError

DSB_MPP = {"he_pink": 0.18, "purple_on_purple": 0.35, "purple_on_white": 0.30}
"""um/px by appearance: 6 um over the median diameter of the annotated nuclei, 34, 17 and 20 px."""

NUCLS_MPP = 0.2
NUCLS_CLASSES = ("non-tumour", "tumour")

_DSB_COLUMNS = {"case", "kaggle_image_id", "appearance"}
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
        As ``open_folder``, or if the index names an unknown appearance.
    """
    rows = {}
    for row in read_index(root / "index.csv", _DSB_COLUMNS):
        appearance = row["appearance"]
        if appearance not in DSB_MPP:
            raise DataSetError(
                f"{root / 'index.csv'} names the appearance {appearance!r}; expected one of "
                f"{', '.join(DSB_MPP)}; take the data set again"
            )
        rows[row["case"]] = Row(stratum=appearance, mpp=DSB_MPP[appearance], mpp_estimated=True)
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

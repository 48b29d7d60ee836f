"""ImageJ's RoiSet.zip: one region of interest a nucleus, as the ROI manager saves them."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from nuguide.datasets.polygons import Outline
from nuguide.errors import DataSetError

MAX_ROIS = 200_000
MAX_ROI_BYTES = 1_000_000
MAX_BYTES = 200_000_000
"""Most of all regions together, unpacked: a region drawn by hand has some hundred bytes."""

DAMAGE = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
"""What zipfile, its decompressors and roifile raise on damaged or encrypted archives."""


def read_roi_set(path: Path) -> list[Outline]:
    """Read the regions of a RoiSet.zip, in the archive's order.

    Nothing is unpacked to disk. Of a composite region every path is a piece; lines and points
    enclose nothing and are left out.

    Returns
    -------
    list of Outline
        ImageJ counts from the corner of the first pixel; here its middle is (0, 0).

    Raises
    ------
    DataSetError
        If the file is missing, no archive, or holds more or larger regions than a person can
        have drawn.
    """
    outlines = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".roi")]
            _refuse_huge(path, [info.file_size for info in members])
            for info in members:
                roi = ImagejRoi.frombytes(archive.read(info))
                if roi.roitype is ROI_TYPE.UNKNOWN:
                    raise ValueError(f"{info.filename} is of no known type")
                rings = [np.asarray(r, np.float64) - 0.5 for r in roi.coordinates(multi=True)]
                rings = [ring for ring in rings if len(ring) >= 3]
                if rings:
                    outlines.append(Outline(tuple((ring,) for ring in rings)))
    except DAMAGE as error:
        raise DataSetError(
            f"{path} cannot be read ({' '.join(str(error).split())}); expected a RoiSet.zip of "
            "ImageJ's ROI manager; save it again"
        ) from error
    return outlines


def _refuse_huge(path: Path, sizes: list[int]) -> None:
    """Refuse an archive by its directory, before anything is unpacked."""
    largest, total = max(sizes, default=0), sum(sizes)
    if len(sizes) > MAX_ROIS or largest > MAX_ROI_BYTES or total > MAX_BYTES:
        raise DataSetError(
            f"{path} holds {len(sizes):,} regions, the largest of {largest:,} bytes and all of "
            f"{total:,}; expected at most {MAX_ROIS:,} regions, each of {MAX_ROI_BYTES:,} bytes "
            f"and all of {MAX_BYTES:,}; save it again"
        )

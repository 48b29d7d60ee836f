"""Aperio ImageScope's annotations: XML with one polygon a region."""

from pathlib import Path

import numpy as np

from nuguide.datasets.polygons import Outline
from nuguide.errors import DataSetError
from nuguide.safe_xml import ParseError, parse_file

MAX_BYTES = 200_000_000


def read_aperio(path: Path) -> list[Outline]:
    """Read the regions of all layers, in the file's order.

    Returns
    -------
    list of Outline
        Vertices as MATLAB's poly2mask takes the file's: there the middle of the first pixel is
        (1, 1), here (0, 0). Regions of fewer than three vertices are left out.

    Raises
    ------
    DataSetError
        If the file is missing, too large, no XML or not Aperio's.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataSetError(
                f"{path} has {path.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}; "
                "cut image and annotation up"
            )
        root = parse_file(path)
        regions = [
            [(float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex")]
            for region in root.iter("Region")
        ]
    except (ParseError, OSError, KeyError, ValueError) as error:
        raise DataSetError(
            f"{path} cannot be read ({error}); expected Aperio's XML of Regions with Vertices; "
            "export it again"
        ) from error
    if root.tag != "Annotations":
        raise DataSetError(
            f"{path} is XML of {root.tag!r}; expected Aperio's 'Annotations'; export it again"
        )
    return [
        Outline(((np.array(vertices, np.float64) - 1,),))
        for vertices in regions
        if len(vertices) >= 3
    ]

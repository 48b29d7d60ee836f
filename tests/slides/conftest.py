"""One piece of tissue, and slides of it in every format."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.slides import write_aperio, write_ome_tiff, write_ome_zarr, write_tiled_tiff
from fixtures.tissue import draw_tissue

SHARED = Path(__file__).resolve().parents[3] / "shared"
MPP = 0.25
SIDES = (571, 733)
"""No multiple of a tile, a block or a pyramid's step."""

WRITERS: dict[str, tuple[str, Callable[..., Path]]] = {
    "aperio": ("t.svs", write_aperio),
    "tiled-tiff": ("t.tif", write_tiled_tiff),
    "ome-tiff": ("t.ome.tif", write_ome_tiff),
    "ome-zarr-0.5": ("t.ome.zarr", write_ome_zarr),
    "ome-zarr-0.4": (
        "t4.ome.zarr",
        lambda path, rgb: write_ome_zarr(path, rgb, version="0.4"),
    ),
}


@pytest.fixture(scope="session")
def tissue() -> NDArray[np.uint8]:
    """Return real tissue where shared/ lies beside the checkout, else drawn tissue."""
    images = sorted((SHARED / "data/monuseg2018/images").glob("*"))[:2]
    if len(images) < 2:
        return draw_tissue(*SIDES)[0]
    mosaic = np.concatenate([cv2.imread(str(image))[..., ::-1] for image in images], axis=1)
    return np.ascontiguousarray(mosaic[: SIDES[0], 500 : 500 + SIDES[1]])


@pytest.fixture(scope="session")
def written(tissue: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the tissue in every format; the path of each by its name."""
    folder = tmp_path_factory.mktemp("slides")
    return {kind: write(folder / name, tissue) for kind, (name, write) in WRITERS.items()}


@pytest.fixture(params=list(WRITERS))
def slide_path(request: pytest.FixtureRequest, written: dict[str, Path]) -> Path:
    """Return a slide of each format in turn; not to be written into."""
    return written[request.param]

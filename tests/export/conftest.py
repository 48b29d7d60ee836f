"""Nuclei to export."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from nuguide.nuclei.morphometry import measure
from nuguide.nuclei.schema import SCHEMA


@pytest.fixture
def labels() -> NDArray[np.int32]:
    """Return a map (64, 80) of three nuclei, 1 to 3."""
    labels = np.zeros((64, 80), np.int32)
    labels[4:14, 6:20], labels[20:32, 50:60], labels[40:60, 10:22] = 1, 2, 3
    return labels


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    """Return an image (64, 80, 3) in the pink of eosin."""
    return np.full((64, 80, 3), (230, 170, 200), np.uint8)


@pytest.fixture
def nuclei(labels: NDArray[np.int32], rgb: NDArray[np.uint8]) -> pa.Table:
    """Return the table of these nuclei at 0.25 um/px."""
    foreground = np.full(labels.shape, 0.9, np.float32)
    return measure(
        labels,
        rgb,
        foreground,
        origin_px=(0, 0),
        mpp=0.25,
        image_sha256="ab",
        calibrated=np.square,
    )


@pytest.fixture
def graded(nuclei: pa.Table) -> pa.Table:
    """Return that table with a positivity of each nucleus."""
    grades = pa.array(["3+", "Negative", "1+"], pa.string())
    place = SCHEMA.get_field_index("positivity")
    return nuclei.set_column(place, SCHEMA.field("positivity"), grades)

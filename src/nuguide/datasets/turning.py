"""The eight ways to lay a slide on the stage."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample


def every_way(sample: Sample) -> list[Sample]:
    """Lay a sample down in all eight ways: turned by quarters, mirrored or not; as it is, first.

    Their names are the sample's own, followed by the way (``-0`` to ``-7``).
    """
    maps = {name: getattr(sample, name) for name in ("image", "labels", "types", "ignore")}
    laid = []
    for number, (quarters, mirrored) in enumerate(product(range(4), (False, True))):
        turned: dict[str, Any] = {
            name: _laid(values, quarters, mirrored)
            for name, values in maps.items()
            if values is not None
        }
        laid.append(replace(sample, name=f"{sample.name}-{number}", **turned))
    return laid


def _laid(values: NDArray[Any], quarters: int, mirrored: bool) -> NDArray[Any]:
    turned = np.rot90(values, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

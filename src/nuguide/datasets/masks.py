"""What the masks of a folder mean: each number a nucleus, or each connected part of one number."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.pictures import SUFFIXES, read_labels
from nuguide.errors import DataSetError

TRUE = (255, 65_535)
"""What programs write for "nucleus" in binary masks of 8 and of 16 bits."""

ONE = 1
"""What they write too; but a label map of a single nucleus holds it as well."""

LOOKED_AT = 64
"""Most masks that are decoded to tell what a 1 means in their folder."""


class Masks:
    """The masks of a folder, which together tell what one alone leaves open.

    Nothing is decoded until it is asked for.

    Parameters
    ----------
    paths : iterable of Path
        Whatever lies in the folder; pictures are looked at.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(path for path in paths if path.suffix.lower() in SUFFIXES)

    def is_binary(self, labels: NDArray[np.int32]) -> bool:
        """Tell whether the nuclei of a mask are its connected parts.

        So it is where its one value beside 0 is of ``TRUE``; where it is ``ONE``, unless a mask
        beside it is a label map.
        """
        value = _one_value(labels)
        return value in TRUE or (value == ONE and not self.hold_numbers)

    @cached_property
    def hold_numbers(self) -> bool:
        """Whether some of the masks can be label maps alone, so that all are taken for such."""
        step = -(-len(self._paths) // LOOKED_AT) or 1
        return any(map(_holds_numbers, self._paths[::step]))


def numbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return a binary mask with its connected parts numbered."""
    return np.asarray(cv2.connectedComponents((labels > 0).astype(np.uint8))[1], np.int32)


def _holds_numbers(path: Path) -> bool:
    try:
        labels = read_labels(path)
    except DataSetError:
        return False  # what is wrong with it is told where it is read itself
    return bool(labels.any()) and _one_value(labels) not in (ONE, *TRUE)


def _one_value(labels: NDArray[np.int32]) -> int | None:
    """Return the one value beside 0; None where there is none, or more than one."""
    top = int(labels.max(initial=0))
    others = (labels != 0) & (labels != top)
    return None if top == 0 or others.any() else top

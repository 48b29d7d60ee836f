"""A contact sheet: pieces of images with the outlines of their annotation, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.colours import TYPE_COLOURS
from nuguide.datasets.base import Sample
from nuguide.files import replacing

MOST = 24
"""Images on a sheet."""

FIELD_UM = 64.0
"""Width of tissue that a picture on the sheet shows, um."""

SIDE_PX = 384
_COLUMNS = 4
_CAPTION_PX = 26
_GAP_PX = 8
_FONT = cv2.FONT_HERSHEY_SIMPLEX

_COLOURS = np.array(TYPE_COLOURS, np.uint8)
_NO_CLASS, _IGNORED = np.array((20, 20, 20), np.uint8), np.array((255, 255, 255), np.uint8)


@dataclass(frozen=True)
class Picture:
    """One picture of the sheet: (H, W, 3) uint8 RGB, and what stands under it."""

    pixels: NDArray[np.uint8]
    caption: str


def outlined(sample: Sample, part: str) -> Picture:
    """Draw the middle of a sample, enlarged, with the outlines of its instances.

    Outlines lie inside each instance, in the colour of its class, so that neighbours that touch
    show two lines. Where the annotation is ambiguous the picture is hatched.
    """
    y, x, side = _middle(sample)
    box = np.s_[y : y + side, x : x + side]
    size = (SIDE_PX, SIDE_PX)
    drawing = cv2.resize(_padded(sample.image[box], side), size, interpolation=cv2.INTER_CUBIC)
    drawing = np.asarray(drawing, np.uint8)
    labels = _enlarged(sample.labels[box].astype(np.float32), side)
    if sample.ignore is not None:
        hatch = np.add.outer(np.arange(SIDE_PX), np.arange(SIDE_PX)) % 12 < 2
        drawing[hatch & (_enlarged(sample.ignore[box].astype(np.float32), side) > 0)] = _IGNORED
    border = _inner_border(labels)
    drawing[border] = _colours(sample, box, side)[border]
    count = len(np.unique(sample.labels)) - int((sample.labels == 0).any())
    organ = f", {sample.organ}" if sample.organ else ""
    return Picture(drawing, f"{sample.name} ({part}{organ}, {count} nuclei)")


def write_contact_sheet(
    pictures: Sequence[Picture], path: Path, classes: Sequence[str] = ()
) -> None:
    """Lay pictures out in rows, under a line with the colours of the classes, and write a PNG.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    columns = min(_COLUMNS, max(1, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    step_y, step_x = SIDE_PX + _CAPTION_PX + _GAP_PX, SIDE_PX + _GAP_PX
    top = _CAPTION_PX if classes else 0
    sheet = np.full((top + rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3), 255, np.uint8)
    _write_legend(sheet, classes)
    for number, picture in enumerate(pictures):
        y = top + number // columns * step_y + _GAP_PX
        x = number % columns * step_x + _GAP_PX
        sheet[y : y + SIDE_PX, x : x + SIDE_PX] = picture.pixels
        _write_caption(sheet[y + SIDE_PX : y + SIDE_PX + _CAPTION_PX, x : x + SIDE_PX], picture)
    _, encoded = cv2.imencode(".png", sheet[..., ::-1])
    with replacing(path, "give another --out") as aside:
        aside.write_bytes(encoded.tobytes())


def _middle(sample: Sample) -> tuple[int, int, int]:
    """Return corner and side, px, of the square of ``FIELD_UM`` in the middle of the image."""
    height, width = sample.labels.shape
    side = min(max(16, round(FIELD_UM / sample.mpp)), max(height, width))
    return max(0, (height - side) // 2), max(0, (width - side) // 2), side


def _padded(part: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Lay a part that is smaller than the square on white."""
    square = np.full((side, side, *part.shape[2:]), 255, part.dtype)
    square[: part.shape[0], : part.shape[1]] = part
    return square


def _enlarged(values: NDArray[np.float32], side: int) -> NDArray[np.int32]:
    square = np.zeros((side, side), np.float32)
    square[: values.shape[0], : values.shape[1]] = values
    size = (SIDE_PX, SIDE_PX)
    return np.asarray(cv2.resize(square, size, interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def _inner_border(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the outermost pixels of every instance, about two deep."""
    padded = np.pad(labels, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    differs = np.logical_or.reduce([labels != other for other in around])
    wide = cv2.dilate(differs.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    return np.asarray((labels > 0) & wide, bool)


def _colours(sample: Sample, box: tuple[slice, slice], side: int) -> NDArray[np.uint8]:
    if sample.types is None:
        return np.broadcast_to(_COLOURS[0], (SIDE_PX, SIDE_PX, 3))
    kinds = _enlarged(sample.types[box].astype(np.float32), side)
    return np.where((kinds > 0)[..., None], _COLOURS[(kinds - 1) % len(_COLOURS)], _NO_CLASS)


def _write_legend(sheet: NDArray[np.uint8], classes: Sequence[str]) -> None:
    """Write the names of the classes along the top, each after a square of its colour."""
    x = _GAP_PX
    for number, name in enumerate(classes):
        colour = tuple(map(int, _COLOURS[number % len(_COLOURS)]))
        cv2.rectangle(sheet, (x, 8), (x + 14, 22), colour, -1)
        cv2.rectangle(sheet, (x, 8), (x + 14, 22), (0, 0, 0), 1)
        cv2.putText(sheet, name, (x + 20, 20), _FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        x += 40 + cv2.getTextSize(name, _FONT, 0.5, 1)[0][0]


def _write_caption(strip: NDArray[np.uint8], picture: Picture) -> None:
    """Write black on white, small enough to fit and no smaller; what does not fit is cut."""
    scale = 0.5
    (width, _), _ = cv2.getTextSize(picture.caption, _FONT, scale, 1)
    scale = max(0.36, min(scale, scale * (strip.shape[1] - 4) / max(1, width)))
    line = np.full_like(strip, 255)
    cv2.putText(line, picture.caption, (2, 17), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)
    strip[:] = line

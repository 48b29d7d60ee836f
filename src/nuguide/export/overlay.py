"""The overlay: the image with the outlines drawn on it, to look at."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nuguide.colours import Rgb
from nuguide.files import replacing
from nuguide.nuclei.polygons import Polygons

LONGEST_SIDE_PX = 3072
"""Larger images are shrunk to this; ordinary viewers open it at once."""

_ENLARGED_UP_TO_PX = 1024
_TRUE_COLOUR_UP_TO_PX = 2048 * 2048
_ZLIB_LEVEL = 1  # 6, the usual, takes three times as long for 6 % fewer bytes
_OUTLINE_RGB = (60, 255, 0)  # no stain of tissue is bright green: seen on pink, purple and brown
Outlined = tuple[Polygons, Sequence[Rgb] | None]

SUBPIXEL_BITS = 4
"""Of the coordinates that ``drawable_outlines`` returns; OpenCV's ``shift``."""


def write_overlay(rgb: NDArray[np.uint8], pieces: Iterable[Outlined], path: Path) -> None:
    """Draw nuclei on an image and write a PNG.

    Parameters
    ----------
    rgb : ndarray
        (H, W, 3) uint8.
    pieces : iterable of (Polygons, sequence of Rgb or None)
        The nuclei in px of ``rgb``, see ``trace``, and the colour of each; None: bright green.
        Drawn as they come, and not kept.
    path : Path
        Ends in ``.png``. Its long side has at most ``LONGEST_SIDE_PX`` px; small images are
        enlarged twice, so that outlines do not hide what they enclose; beyond 4 megapixels it is
        drawn in 256 colours, chosen for the image: a third of the bytes, hardly another picture.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    longest = max(rgb.shape[:2])
    scale = 2.0 if longest <= _ENLARGED_UP_TO_PX else min(1.0, LONGEST_SIDE_PX / longest)
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    factors = size[0] / rgb.shape[1], size[1] / rgb.shape[0]
    drawing = _resized(rgb, size)
    del rgb  # many times larger, and nuclei may be long in coming
    for polygons, colours in pieces:
        _draw(drawing, drawable_outlines(polygons, factors), colours)
    picture = Image.fromarray(drawing)
    if size[0] * size[1] > _TRUE_COLOUR_UP_TO_PX:
        picture = _in_few_colours(picture)
    with replacing(path) as aside:
        picture.save(aside, format="png", compress_level=_ZLIB_LEVEL)


def _in_few_colours(picture: Image.Image) -> Image.Image:
    """Draw a picture in 256 colours, chosen for one pixel of nine: a quarter of the time."""
    none = Image.Dither.NONE
    sample = picture.resize(
        (-(-picture.width // 3), -(-picture.height // 3)), Image.Resampling.NEAREST
    )
    palette = sample.quantize(method=Image.Quantize.FASTOCTREE, dither=none)
    return picture.quantize(palette=palette, dither=none)


def _draw(
    drawing: NDArray[np.uint8],
    outlines: list[NDArray[np.int32]],
    colours: Sequence[Rgb] | None,
) -> None:
    for colour, of_colour in _by_colour(outlines, colours):
        cv2.polylines(
            drawing,
            of_colour,
            isClosed=True,
            color=colour,
            thickness=1,
            lineType=cv2.LINE_AA,
            shift=SUBPIXEL_BITS,
        )


def _resized(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring an image to a size (width, height), px.

    By halves as long as it may, the rest between two pixels: a quarter of the time that means over
    other areas take. What a half leaves out of an odd side is less than a pixel of the result.
    """
    while 2 * size[0] <= rgb.shape[1] and 2 * size[1] <= rgb.shape[0]:
        height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
        even = rgb[: 2 * height, : 2 * width]
        rgb = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    how = cv2.INTER_LINEAR if size[0] < rgb.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, size, interpolation=how), np.uint8)


def _by_colour(
    outlines: list[NDArray[np.int32]], colours: Sequence[Rgb] | None
) -> list[tuple[Rgb, list[NDArray[np.int32]]]]:
    if colours is None:
        return [(_OUTLINE_RGB, outlines)]
    groups: dict[Rgb, list[NDArray[np.int32]]] = {}
    for outline, colour in zip(outlines, colours, strict=True):
        groups.setdefault(colour, []).append(outline)
    return list(groups.items())


def drawable_outlines(polygons: Polygons, scale: tuple[float, float]) -> list[NDArray[np.int32]]:
    """Outlines as OpenCV draws them: fixed-point px, whole numbers at the middles of pixels.

    Parameters
    ----------
    polygons : Polygons
        N, in px of what they were traced on.
    scale : tuple of float
        (x, y) px of the drawing for one of those.

    Returns
    -------
    list of ndarray
        (n, 2) int32 (x, y) for each polygon, see ``SUBPIXEL_BITS``.
    """
    drawn = np.round((polygons.points * scale - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    # Slices: numpy's own split takes several times as long for many short pieces.
    return [drawn[begin:end] for begin, end in pairwise(polygons.first.tolist())]

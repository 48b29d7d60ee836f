"""Where the tissue is: a coarse mask that tells which regions are worth reading."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nuguide.errors import InputError
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Box
from nuguide.slides.roi import Roi

Mask = NDArray[np.bool_]

THRESHOLD_RANGE = (0.04, 0.10)
"""Between these the threshold follows the slide, optical density above the glass."""

GLASS_GREY = 240.0
"""Brightness of glass where a slide shows none to measure it by."""

MIN_PIECE_UM2 = 1_000.0
"""Smaller pieces are dust."""

MAX_HOLE_UM2 = 20_000.0
"""Smaller holes (vessels, glands, fat) belong to the tissue around them."""

MARGIN_UM = 16.0
"""Width added around the tissue, so that no nucleus at its border is cut off."""

MAX_INK_SHARE = 0.25
"""Of what is not glass: more than this of one ink's colour is a stain, not a pen."""


@dataclass(frozen=True)
class Tissue:
    """A mask of tissue over a whole slide.

    Attributes
    ----------
    mask : ndarray
        (h, w) bool; pixel (i, j) covers [i, i + 1] x [j, j + 1] of the slide's grid at ``mpp``.
    mpp : float
        um/px of the mask.
    threshold : float
        Optical density above the glass from which a pixel is tissue; 0 where all was taken.
    roi : Roi, optional
        The region of interest that it is cut to: of the mask are pixels whose middle lies in it.
    reach : ndarray
        (h, w) bool: pixels that hold some of it; the mask, where there is no region of interest.
    """

    mask: Mask
    mpp: float
    threshold: float
    roi: Roi | None = None
    reach: Mask = field(init=False)

    def __post_init__(self) -> None:
        """Cut to the region of interest."""
        reach = self.mask
        if self.roi is not None:
            reach = self.mask & self.roi.reach
            object.__setattr__(self, "mask", self.mask & self.roi.inside)
        object.__setattr__(self, "reach", reach)

    @property
    def area_mm2(self) -> float:
        """Area of the tissue, mm2; of a region of interest as it is drawn, if all was taken."""
        if self.roi is not None and not self.threshold:
            return self.roi.area_mm2
        return float(self.mask.sum()) * (self.mpp / 1e3) ** 2

    def share(self, box: Box, mpp: float) -> float:
        """Return how much of a box, px of the grid at ``mpp``, is tissue: 0 to 1."""
        return float(self.shares([box], mpp)[0])

    def shares(self, boxes: Sequence[Box], mpp: float) -> NDArray[np.float64]:
        """Return the share of tissue of many boxes at once; beyond the slide there is none."""
        corners = np.array([(box.y, box.x, box.height, box.width) for box in boxes], np.float64)
        y, x, height, width = corners.reshape(-1, 4).T * (mpp / self.mpp)
        # (h + 1, w + 1): tissue above and left of each corner. Not kept: it is four masks large.
        integral = cv2.integral(self.reach.astype(np.uint8), sdepth=cv2.CV_32S)
        tissue = (
            _sum_to(integral, y + height, x + width)
            - _sum_to(integral, y, x + width)
            - _sum_to(integral, y + height, x)
            + _sum_to(integral, y, x)
        )
        # The sum of a million pixels is exact; its interpolation is to 1e-9.
        return np.asarray((tissue / (height * width)).clip(0.0, 1.0))

    def bounds(self, box: Box, mpp: float) -> Box | None:
        """Return the smallest box that holds all tissue of a box, px of the grid at ``mpp``.

        None if it has none; else it lies within ``box``.
        """
        scale = mpp / self.mpp
        top, left = max(0, math.floor(box.y * scale)), max(0, math.floor(box.x * scale))
        bottom, right = (
            math.ceil((begin + length) * scale)
            for begin, length in ((box.y, box.height), (box.x, box.width))
        )
        window = self.reach[top:bottom, left:right]
        rows, columns = (np.flatnonzero(window.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return None
        y = max(box.y, math.floor((top + int(rows[0])) / scale))
        x = max(box.x, math.floor((left + int(columns[0])) / scale))
        last_y, last_x = top + int(rows[-1]) + 1, left + int(columns[-1]) + 1
        end_y, end_x = box.y + box.height, box.x + box.width
        height, width = self.mask.shape
        # The last pixel of the mask stands for what is left of the slide.
        end_y = end_y if last_y == height else min(end_y, math.ceil(last_y / scale))
        end_x = end_x if last_x == width else min(end_x, math.ceil(last_x / scale))
        return Box(y, x, end_y - y, end_x - x)

    def covers(
        self, y: NDArray[np.float64], x: NDArray[np.float64], mpp: float
    ) -> NDArray[np.bool_]:
        """Tell which points, in px of the grid at ``mpp``, lie on tissue.

        What is left of the slide beyond the mask's last pixel, less than half of one, goes with it.
        """
        scale = mpp / self.mpp
        height, width = self.mask.shape
        rows, columns = np.asarray(y) * scale, np.asarray(x) * scale
        inside = (rows >= 0) & (rows < height + 0.5) & (columns >= 0) & (columns < width + 0.5)
        rows = np.floor(rows).astype(int).clip(0, height - 1)
        columns = np.floor(columns).astype(int).clip(0, width - 1)
        covered = np.asarray(inside & self.reach[rows, columns], np.bool_)
        if self.roi is not None:
            covered[covered] = self.roi.covers(y[covered], x[covered], mpp)
        return covered

    def within(self, roi: Roi) -> "Tissue":
        """Return the tissue inside a region of interest."""
        return Tissue(self.mask, self.mpp, self.threshold, roi)


def _sum_to(
    integral: NDArray[np.int32], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate an integral, which is exact: a pixel is constant over its area."""
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    y, x = y.clip(0.0, height), x.clip(0.0, width)
    top = np.minimum(y.astype(np.int64), height - 1)
    left = np.minimum(x.astype(np.int64), width - 1)
    down, across = y - top, x - left
    above = integral[top, left] * (1 - across) + integral[top, left + 1] * across
    below = integral[top + 1, left] * (1 - across) + integral[top + 1, left + 1] * across
    return np.asarray(above * (1 - down) + below * down)


def find_tissue(slide: Slide, threshold: float | None = None) -> Tissue:
    """Find the tissue of a slide at about 8 um/px.

    Parameters
    ----------
    slide : Slide
        Of any size: only its thumbnail is read.
    threshold : float, optional
        Optical density above the glass from which a pixel is tissue; 0.02 takes the faintest
        traces, 0.2 only what is well stained. Left out, it follows the slide within
        ``THRESHOLD_RANGE``.

    Raises
    ------
    InputError
        If ``threshold`` is not between 0 and 2, or the slide cannot be read.

    Notes
    -----
    The density is that of the channel that absorbs most, against the slide's own glass: any stain
    raises it, so H&E and immunohistochemistry go by one rule. The threshold is Otsu's, held within
    a range: so a field that is tissue all over stays tissue, and blank glass stays empty.
    Black (borders, areas not scanned) is no tissue, nor is green, black or vivid blue ink; red ink
    cannot be told from blood by its colour and stays. One ink's colour on more than
    ``MAX_INK_SHARE`` of a slide is taken for a stain.
    """
    if threshold is not None and not 0.0 < threshold < 2.0:
        raise InputError(
            f"the threshold of tissue is {threshold!r}; expected an optical density above 0 and "
            "below 2; try 0.05, or leave it out"
        )
    mpp = slide.thumbnail_mpp()
    rgb = cv2.GaussianBlur(slide.thumbnail(), (0, 0), 1.0)
    black = rgb.max(axis=-1) < 40
    density = _density(rgb, black)
    if threshold is None:
        threshold = float(np.clip(_otsu(density[~black]), *THRESHOLD_RANGE))
    stained = (density > threshold) & ~black
    return Tissue(_cleaned(stained & ~_ink(rgb, stained), mpp), mpp, threshold)


def all_tissue(slide: Slide) -> Tissue:
    """Return a mask that takes the whole slide for tissue."""
    mpp = slide.thumbnail_mpp()
    return Tissue(np.ones(slide.shape_at(mpp), np.bool_), mpp, 0.0)


def _density(rgb: NDArray[np.uint8], black: Mask) -> NDArray[np.float32]:
    """Return the largest optical density of the channels, against the glass."""
    glass = rgb[(rgb.min(axis=-1) > 200) & (np.ptp(rgb, axis=-1) < 20)]
    white = np.full(3, GLASS_GREY, np.float32)
    if len(glass) > 0.01 * int((~black).sum()):
        white = np.median(glass, axis=0).astype(np.float32)
    values = np.maximum(np.arange(256, dtype=np.float32), 1)
    channels = (np.log(white[channel] / values)[rgb[..., channel]] for channel in range(3))
    return reduce(np.maximum, channels)


def _otsu(density: NDArray[np.float32]) -> float:
    """Return the threshold that parts densities into two classes of least variance."""
    if not density.size:
        return 0.0
    levels = (density.clip(0.0, 1.0) * 255).astype(np.uint8)
    return float(cv2.threshold(levels[None], 0, 255, cv2.THRESH_OTSU)[0]) / 255


def _ink(rgb: NDArray[np.uint8], stained: Mask) -> Mask:
    """Tell where a pen wrote: green, vivid blue or black."""
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    inks = (
        green - np.maximum(red, blue) > 12,
        (blue - red > 90) & (green >= red),
        (np.ptp(rgb, axis=-1) < 15) & (rgb.max(axis=-1) < 110),
    )
    found = np.zeros(stained.shape, np.bool_)
    for ink in inks:
        here = ink & stained
        if here.sum() <= MAX_INK_SHARE * stained.sum():
            found |= here
    # The rim of a stroke is mixed with the glass around it.
    return np.asarray(cv2.dilate(found.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _cleaned(stained: Mask, mpp: float) -> Mask:
    """Close gaps, drop dust, fill holes, add a margin."""
    closed = cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_CLOSE, _disc(16.0 / mpp)) > 0
    kept = _without_small(closed, MIN_PIECE_UM2 / mpp**2)
    filled = ~_without_small(~kept, MAX_HOLE_UM2 / mpp**2)
    return np.asarray(cv2.dilate(filled.astype(np.uint8), _disc(MARGIN_UM / mpp)) > 0)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def _without_small(mask: Mask, area_px: float) -> Mask:
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    large = np.bincount(labels.ravel()) >= area_px
    large[0] = False
    return np.asarray(large[labels])

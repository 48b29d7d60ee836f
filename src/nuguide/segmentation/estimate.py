"""Microns per pixel of an image that tells none: an estimate from the size of its nuclei."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from nuguide.errors import InputError, ResolutionError
from nuguide.models.model import Model
from nuguide.segmentation.decoding import decode
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.region import is_blank
from nuguide.slides.reader import Slide, open_slide
from nuguide.slides.regions import Box
from nuguide.slides.scale import Settled
from nuguide.slides.tissue import find_tissue
from nuguide.units import AskedMpp, coarseness_warning

SOURCE = "estimate from nucleus size"

ASSUMED_MPP = tuple(float(mpp) for mpp in np.geomspace(0.1, 1.1, 8))
"""um/px that are tried; outside them nothing is found."""

FIELDS = 2
FIELD_PX = 512
"""Fields that are segmented at each um/px, and their side, px of the model's grid."""

TYPICAL_UM = 6.6
"""Diameter of a nucleus of mean area: see ``estimate_scale``."""

DIAMETER_SPREAD = 0.5
CONFIDENCE_SPREAD = 0.03
"""A diameter off by this (its logarithm) counts like a mean confidence this far below the best."""

MIN_NUCLEI = 20
"""With fewer at an assumed um/px, that says nothing."""

Place = tuple[float, float]
"""The middle of a field: (y, x) as shares of the image's height and width."""


@dataclass(frozen=True)
class Look:
    """What a model finds in an image under an assumed scale.

    Attributes
    ----------
    mpp : float
        um/px that were assumed.
    diameters_um : ndarray
        (n,) float64, of the circles of equal area, of the nuclei that end inside a field.
    confidences : ndarray
        (n,) float64: mean probability inside each.
    """

    mpp: float
    diameters_um: NDArray[np.float64]
    confidences: NDArray[np.float64]


def open_at(path: str | Path, mpp: AskedMpp | None, model: Model) -> Slide:
    """Open an image at any scale; with ``mpp="estimate"`` it is estimated where none is told.

    Raises
    ------
    InputError, ResolutionError
        As ``open_slide`` and ``estimate_scale``.
    """
    if mpp == "estimate":
        return open_slide(path, estimate=lambda slide: estimate_scale(slide, model))
    return open_slide(path, mpp)


def open_scaled(path: str | Path, mpp: AskedMpp | None, model: Model) -> Slide:
    """Open an image that a model is to segment.

    Raises
    ------
    InputError, ResolutionError
        As ``open_at`` and ``check_scale``.
    """
    slide = open_at(path, mpp, model)
    try:
        return check_scale(slide, model)
    except BaseException:
        slide.close()
        raise


def check_scale(slide: Slide, model: Model) -> Slide:
    """Return a slide after checking that its scale suits a model; a doubt joins its warnings.

    Raises
    ------
    ResolutionError
        If it is too coarse.
    """
    warning = coarseness_warning(slide.name, slide.mpp, slide.mpp_source, model.card.mpp)
    if warning:
        slide.warnings = (*slide.warnings, warning)
    return slide


def estimate_scale(slide: Slide, model: Model) -> Settled:
    """Estimate an image's um/px as those under which its nuclei have a nucleus' size.

    Parameters
    ----------
    slide : Slide
        Its own ``mpp`` is used for nothing but to find tissue coarsely.
    model : Model
        What segments the fields.

    Returns
    -------
    Settled
        um/px of two digits, ``SOURCE``, and a warning.

    Raises
    ------
    ResolutionError
        If too few nuclei are found.

    Notes
    -----
    The fields are segmented under each of ``ASSUMED_MPP``. Two things are to hold at the right one:
    the nucleus of mean area has the diameter ``TYPICAL_UM``, and the model, which knows one scale
    only, is as confident as anywhere. The um/px, between those tried, where both are least violated
    are taken. The size alone is not enough: a model finds something of nearly the usual size
    at most scales.

    In the fields of the 30 MoNuSeg training images at their 0.25 um/px an earlier default found a
    median over images of 6.6 um, which ``TYPICAL_UM`` is. By the one before this it was 6.5, the
    10th to 90th percentile 4.9 to 8.4, and that spread is what no estimate of this kind gets below.

    Measured with the scale hidden, default model, estimate / true um/px: median, 10th to 90th
    percentile, and how many lie within a factor of 1.4 (of 2).

    =============================  ====  =====  ============  ========  ========
    images                           n   median    10 - 90      < 1.4      < 2
    =============================  ====  =====  ============  ========  ========
    MoNuSeg train                    30   0.98  0.76 - 1.44    27        30
    the same, shrunk by 2            30   0.95  0.76 - 1.46    26        30
    MoNuSeg test                     14   1.12  0.94 - 1.24    14        14
    CoNSeP train                     27   1.24  0.94 - 1.50    24        26
    the same, shrunk by 2            26   1.20  0.94 - 1.47    23        26
    =============================  ====  =====  ============  ========  ========

    The model was fitted on both training sets, the typical size comes from the first of them, and
    how size weighs against confidence was chosen on both, so only the test images decided nothing.
    (In one image of the last row too few nuclei are found.)
    """
    places = find_places(slide)
    mpp = consistent_mpp([look(slide, places, mpp, model) for mpp in ASSUMED_MPP])
    if mpp is None:
        raise ResolutionError(
            f"{slide.name} shows too few nuclei to estimate its microns per pixel; expected "
            f"{MIN_NUCLEI} or more in {FIELDS} fields; add for example --mpp 0.25 (40x) or "
            "--mpp 0.5 (20x)"
        )
    return Settled(
        mpp,
        SOURCE,
        (
            f"{slide.name} tells no microns per pixel: {mpp:g} um/px were estimated from the size "
            "of its nuclei and are often off by 30 %, sometimes by a factor of two; sizes in um "
            "must not be relied on; give --mpp if you know better",
        ),
    )


def consistent_mpp(looks: Sequence[Look]) -> float | None:
    """Return the um/px that agree best with what was found under them; None if too little was."""
    looks = [one for one in looks if len(one.diameters_um) >= MIN_NUCLEI]
    if len(looks) < 2:
        return None
    assumed = np.log([one.mpp for one in looks])
    size = np.log([np.sqrt((one.diameters_um**2).mean()) for one in looks])
    confidence = [one.confidences.mean() for one in looks]
    between = np.linspace(assumed[0], assumed[-1], 500)
    too_large = PchipInterpolator(assumed, size)(between) - np.log(TYPICAL_UM)
    confident = PchipInterpolator(assumed, confidence)(between)
    violation = (too_large / DIAMETER_SPREAD) ** 2 + (
        (confident.max() - confident) / CONFIDENCE_SPREAD
    ) ** 2
    # More digits would pretend to more than is known.
    return float(f"{np.exp(between[violation.argmin()]):.2g}")


def look(slide: Slide, places: Sequence[Place], mpp: float, model: Model) -> Look:
    """Segment the fields around some places as if the image had ``mpp`` um/px."""
    grid = slide.mpp * model.card.mpp / mpp
    diameters, confidences = [np.empty(0)], [np.empty(0)]
    for box in _fields(slide, places, grid):
        rgb = slide.read_at(box.y, box.x, box.height, box.width, grid)
        if is_blank(rgb):
            continue
        maps = predict_maps(model, rgb)
        labels = decode(maps, model.card.decoding)
        area = np.bincount(labels.ravel())
        probability = np.bincount(labels.ravel(), maps.foreground.ravel(), len(area))
        whole = area > 0
        whole[0] = False
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            whole[edge] = False
        diameters.append(np.sqrt(4.0 / np.pi * area[whole]) * model.card.mpp)
        confidences.append(probability[whole] / area[whole])
    return Look(mpp, np.concatenate(diameters), np.concatenate(confidences))


def _fields(slide: Slide, places: Sequence[Place], grid: float) -> list[Box]:
    """Place fields inside the image, px of its grid at ``grid``; those that coincide are one."""
    try:
        height, width = slide.shape_at(grid)
    except InputError:  # nothing, or beyond all bounds, at this scale
        return []
    rows, columns = min(height, FIELD_PX), min(width, FIELD_PX)
    boxes = (
        Box(
            int(np.clip(round(y * height - rows / 2), 0, height - rows)),
            int(np.clip(round(x * width - columns / 2), 0, width - columns)),
            rows,
            columns,
        )
        for y, x in places
    )
    return list(dict.fromkeys(boxes))


def find_places(slide: Slide) -> list[Place]:
    """Find where most haematoxylin may be: tissue that lets least red light through."""
    tissue = find_tissue(slide)
    red = slide.thumbnail()[..., 0].astype(np.float32)
    # Nothing counts for more than a dense nucleus: folds and ink must not draw the fields.
    absorbed = np.log(255.0 / red.clip(1.0)).clip(0.0, 1.0) * tissue.mask
    side = max(1, round(FIELD_PX * 1.5 * slide.mpp / tissue.mpp))
    fullness = cv2.blur(absorbed, (side, side), borderType=cv2.BORDER_REFLECT)
    places: list[Place] = []
    while len(places) < FIELDS and fullness.max() > 0:
        y, x = divmod(int(fullness.argmax()), fullness.shape[1])
        places.append(((y + 0.5) / fullness.shape[0], (x + 0.5) / fullness.shape[1]))
        reach = side // 2
        fullness[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = 0
    return places

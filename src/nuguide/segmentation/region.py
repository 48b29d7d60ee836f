"""One region, stage by stage: pixels are read, the network predicts, nuclei are measured."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.models.model import Model
from nuguide.nuclei.morphometry import measure
from nuguide.nuclei.schema import SCHEMA
from nuguide.nuclei.specks import without_specks
from nuguide.nuclei.staining import Staining
from nuguide.segmentation.decoding import Maps, decode
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.runs import RUNS, runs_of
from nuguide.segmentation.seams import claims, native_box, numbered, to_native, window_of
from nuguide.segmentation.stopwatch import Stopwatch
from nuguide.segmentation.types import types_of
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Box, Region

CLAIMED: pa.Schema = SCHEMA.append(RUNS)
"""Columns of a region's nuclei before the image is joined."""


@dataclass(frozen=True)
class Task:
    """A region of a slide that is to be segmented.

    Attributes
    ----------
    slide : Slide
        The image.
    region : Region
        One of its plan.
    staining : Staining
        What is measured of its stains, and what counts as positive.
    """

    slide: Slide
    region: Region
    staining: Staining = field(default_factory=Staining)


@dataclass(frozen=True)
class Piece:
    """What a region gives.

    Attributes
    ----------
    nuclei : pyarrow.Table
        The nuclei that it claims, by ``CLAIMED``.
    seconds : dict
        Stage -> s, see ``nuguide.segmentation.stopwatch``.
    """

    nuclei: pa.Table
    seconds: dict[str, float] = field(default_factory=dict)


def segment_region(task: Task, model: Model) -> Piece:
    """Segment one region from its pixels to its nuclei."""
    watch = Stopwatch()
    return measured(task, predicted(read(task, model, watch), model, watch), model, watch)


def read(task: Task, model: Model, watch: Stopwatch) -> NDArray[np.uint8]:
    """Read a region's pixels at the model's um/px, (H, W, 3) uint8."""
    with watch.timing("read"):
        return read_mirrored(task.slide, task.region.read, model.card.mpp)


def predicted(rgb: NDArray[np.uint8], model: Model, watch: Stopwatch) -> Maps | None:
    """Predict a region's maps; None where there is nothing to see."""
    return None if is_blank(rgb) else predict_maps(model, rgb, watch)


def measured(task: Task, maps: Maps | None, model: Model, watch: Stopwatch) -> Piece:
    """Decode a region's maps and measure the nuclei that it claims."""
    if maps is None:
        return Piece(no_nuclei(), watch.seconds)
    with watch.timing("instances"):
        slide, region = task.slide, task.region
        scale = slide.mpp / model.card.mpp
        decoded = decode(maps, model.card.decoding)
        mine = claims(decoded, region)
        if not mine.any():
            return Piece(no_nuclei(), watch.seconds)
        # What lies farther out than the nuclei that are claimed is not needed any more.
        window = window_of(np.take(mine, decoded))
        part = region.read.part(window)
        box = native_box(part, scale, slide.shape)
        # Neighbours take their place first, so that a nucleus ends where it does in any region.
        native, foreground = to_native(
            decoded[window],
            maps.foreground[window],
            model.card.decoding.foreground_threshold,
            part,
            box,
            scale,
        )
        # Of a nucleus that the image's edge cuts, what lies inside must be large enough.
        least_px = max(1.0, model.card.decoding.min_area_um2 / slide.mpp**2)
        labels, before = numbered(without_specks(native), mine, least_px)
        calibration, types = model.card.calibration, None
        if maps.types is not None:
            names = np.array(model.card.classes, np.object_)
            types = names[types_of(decoded, maps.types)][before]
    with watch.timing("read"):
        rgb = slide.read(box.y, box.x, box.height, box.width, slide.mpp)
    with watch.timing("instances"):
        nuclei = measure(
            labels,
            rgb,
            foreground,
            origin_px=(box.y, box.x),
            mpp=slide.mpp,
            image_sha256=slide.sha256,
            region=region.index,
            types=types,
            calibrated=None if calibration is None else calibration.probability,
            staining=task.staining,
        )
        runs = runs_of(labels, (box.y, box.x))
    return Piece(nuclei.append_column(RUNS, runs), watch.seconds)


def no_nuclei() -> pa.Table:
    """Return the table of a region without nuclei."""
    return CLAIMED.empty_table()


def read_mirrored(slide: Slide, box: Box, mpp: float) -> NDArray[np.uint8]:
    """Read a box of the grid at ``mpp``; beyond the image's edge lies its mirror image.

    The network was trained with mirrored edges: white there would be an edge that no tissue has.
    """
    height, width = slide.shape_at(mpp)
    top, left = max(box.y, 0), max(box.x, 0)
    bottom, right = min(box.y + box.height, height), min(box.x + box.width, width)
    inside = slide.read_at(top, left, bottom - top, right - left, mpp)
    above_below = (top - box.y, box.y + box.height - bottom)
    left_right = (left - box.x, box.x + box.width - right)
    return np.pad(inside, (above_below, left_right, (0, 0)), mode="symmetric")


def is_blank(rgb: NDArray[np.uint8]) -> bool:
    """Tell whether a region has a single colour, within what compression does to one."""
    pixels = rgb.reshape(-1, 3)
    # One in a thousand nearly always shows another; all of them take longer than a GPU's network.
    return all((np.ptp(some, axis=0) < 10).all() for some in (pixels[::1009], pixels))

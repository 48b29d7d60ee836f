"""The one way from an image to its nuclei: region by region, each nucleus owned once."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.guides.student import StudentGuide
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.nuclei.morphometry import measure
from nuguide.nuclei.schema import empty_nuclei
from nuguide.segmentation.decoding import Maps, decode
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.result import Result
from nuguide.segmentation.seams import claimed, native_box, paint, to_native
from nuguide.slides.reader import Slide, from_array, open_slide
from nuguide.slides.regions import Box, Region, plan_regions
from nuguide.units import checked_mpp

REGION_PX = 1024
"""Side of a region's core, px of the model."""

HALO_PX = 128
"""What is read around it: wider than a nucleus, so that each is seen whole, px of the model."""

Progress = Callable[[int, int, int], None]
"""Called before each region and at the end: regions done, regions in all, nuclei so far."""


def segment(
    image: str | Path | NDArray[Any],
    mpp: float | None = None,
    *,
    model: str | Path | Model = "default",
    device: str = "auto",
) -> Result:
    """Segment the nuclei of an image.

    Parameters
    ----------
    image : path or ndarray
        A PNG, JPEG or TIFF file, or an array (H, W), (H, W, 3) or (H, W, 4).
    mpp : float, optional
        Microns per pixel; needed where the file does not tell, and for an array.
    model : str, Path or Model
        Name, folder or model, see ``nuguide.load``.
    device : str
        ``auto`` takes a GPU if there is one; otherwise as torch names it.

    Returns
    -------
    Result
        ``nuclei``, ``labels`` and ``save()``.

    Raises
    ------
    InputError
        If the image cannot be read.
    ResolutionError
        If its um/px are missing or out of range.
    ModelError
        If the model is unknown or damaged.

    Examples
    --------
    >>> result = nuguide.segment("tissue.png", mpp=0.25)  # doctest: +SKIP
    >>> result.save("out")  # doctest: +SKIP
    """
    slide = open_slide(image, mpp) if isinstance(image, str | Path) else _array(image, mpp)
    return segment_slide(slide, on_device(load(model), device))


def _array(pixels: NDArray[Any], mpp: float | None) -> Slide:
    return from_array(pixels, checked_mpp(mpp, "mpp"))


def segment_array(rgb: NDArray[np.uint8], mpp: float, model: Model) -> Result:
    """Segment an array (H, W, 3) uint8 at ``mpp`` um/px."""
    return segment_slide(from_array(rgb, mpp), model)


def on_device(model: Model, device: str) -> Model:
    """Move a model's network, and its guide where that is a student, to a device.

    Raises
    ------
    InputError
        If there is no such device.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        model.network.to(chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--device {device!r} cannot be used ({reason}); expected auto, cpu, cuda or cuda:N "
            "of this machine; leave it out to let nuguide choose"
        ) from error
    if isinstance(model.guide, StudentGuide):
        model.guide.to(chosen)
    return model


def segment_slide(
    slide: Slide,
    model: Model,
    *,
    region_px: int = REGION_PX,
    progress: Progress | None = None,
) -> Result:
    """Segment a slide region by region.

    Parameters
    ----------
    slide : Slide
        The image with its um/px.
    model : Model
        On the device it is to run on.
    region_px : int
        Side of a region, px of the model; rounded up to the model's grid.
    progress : callable, optional
        See ``Progress``.
    """
    start = time.perf_counter()
    grid = grid_px(model)
    size, halo = (-(-length // grid) * grid for length in (region_px, HALO_PX))
    plan = plan_regions(slide.shape_at(model.card.mpp), size, halo, grid)
    canvas = np.zeros(slide.shape, np.int32)
    tables: list[pa.Table] = []
    found = 0
    for done, region in enumerate(plan):
        if progress is not None:
            progress(done, len(plan), found)
        tables.append(_segment_region(slide, model, region, canvas, found))
        found += tables[-1].num_rows
    if progress is not None:
        progress(len(plan), len(plan), found)
    nuclei = pa.concat_tables([empty_nuclei(), *tables])
    return Result(nuclei, canvas, slide, model.card, time.perf_counter() - start)


def grid_px(model: Model) -> int:
    """Return the step of the model's grid: windows, tiles and guide fields begin at its lines."""
    steps = [getattr(model.network, "grid_px", 16), model.card.tile_px or 1]
    if model.guide is not None and model.guide.field_um is not None:
        steps.append(round(model.guide.field_um / model.card.mpp))
    return math.lcm(*steps)


def _segment_region(
    slide: Slide, model: Model, region: Region, canvas: NDArray[np.int32], found: int
) -> pa.Table:
    """Segment one region, add its nuclei to ``canvas``, ``found`` so far, and return their rows."""
    mpp, decoding = model.card.mpp, model.card.decoding
    rgb = read_mirrored(slide, region.read, mpp)
    if _is_blank(rgb):
        return empty_nuclei()
    maps: Maps = predict_maps(model, rgb)
    labels = claimed(decode(maps, decoding), region)
    scale = slide.mpp / mpp
    box = native_box(region.read, scale, slide.shape)
    native, foreground = to_native(
        labels, maps, decoding.foreground_threshold, region.read, box, scale
    )
    return measure(
        paint(canvas, native, box, found),
        slide.read(box.y, box.x, box.height, box.width, slide.mpp),
        foreground,
        origin_px=(box.y, box.x),
        px_per_label=1.0,
        mpp=slide.mpp,
        image_sha256=slide.sha256,
        region=region.index,
    )


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


def _is_blank(rgb: NDArray[np.uint8]) -> bool:
    """Tell whether a region has a single colour, within what compression does to one."""
    return bool((np.ptp(rgb.reshape(-1, 3), axis=0) < 10).all())

"""The one way from an image to its nuclei: planned, computed region by region, joined."""

import time
from collections.abc import Callable
from dataclasses import asdict
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
from nuguide.nuclei.schema import empty_nuclei
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.joining import ArrayCanvas, join
from nuguide.segmentation.planning import Cut, cut_for, plan
from nuguide.segmentation.record import configuration_of
from nuguide.segmentation.region import Task
from nuguide.segmentation.result import Result
from nuguide.slides.reader import Slide, from_array, open_slide
from nuguide.units import checked_mpp

Progress = Callable[[int, int, int], None]
"""Called at the start and after each region: regions done, regions in all, nuclei so far."""


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
    cut: Cut | None = None,
    progress: Progress | None = None,
) -> Result:
    """Segment an image that lies in memory, nuclei and labels too.

    Parameters
    ----------
    slide : Slide
        The image with its um/px.
    model : Model
        On the device it is to run on.
    cut : Cut, optional
        How the image is cut into regions; rounded up to the model's grid.
    progress : callable, optional
        See ``Progress``.
    """
    start = time.perf_counter()
    cut = cut_for(model, cut)
    regions = plan(slide, model, cut)
    pieces: list[pa.Table] = []
    found = 0
    for computed in LocalEngine(model).compute(Task(slide, region) for region in regions):
        if isinstance(computed.outcome, Exception):
            raise computed.outcome
        if progress is not None:
            progress(len(pieces), len(regions), found)
        pieces.append(computed.outcome.nuclei)
        found += pieces[-1].num_rows
    if progress is not None:
        progress(len(regions), len(regions), found)
    canvas = ArrayCanvas(slide.shape)
    joined = join(zip(regions, pieces, strict=True), slide.mpp / model.card.mpp, canvas)
    nuclei = pa.concat_tables([empty_nuclei(), *joined])
    configuration = configuration_of(slide, model.card, asdict(cut))
    seconds = time.perf_counter() - start
    return Result(nuclei, canvas.labels, slide, model.card, seconds, configuration)

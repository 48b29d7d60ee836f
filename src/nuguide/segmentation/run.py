"""The one way from an image to its nuclei: planned, computed region by region, joined."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.backends.registry import with_backend
from nuguide.backends.views import with_views
from nuguide.errors import InputError, NuguideError
from nuguide.models.decoding_choice import with_decoding
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.nuclei.positivity import AskedThresholds
from nuguide.nuclei.schema import empty_nuclei
from nuguide.nuclei.stain_choice import AskedStains
from nuguide.nuclei.staining import Staining, asked_staining
from nuguide.segmentation.area import Area, Where
from nuguide.segmentation.batch import Batch
from nuguide.segmentation.batch_plan import plan_batch
from nuguide.segmentation.batch_summary import SUMMARY_FILE, write_summary
from nuguide.segmentation.engine import LocalEngine, local_engine

# Whoever asks for a segmentation also says where it runs.
from nuguide.segmentation.engine import on_device as on_device
from nuguide.segmentation.estimate import check_scale, estimate_scale, open_scaled
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.joining import ArrayCanvas, join
from nuguide.segmentation.outputs import Labels, Outputs
from nuguide.segmentation.planning import Cut, cut_for, plan
from nuguide.segmentation.record import configuration_of
from nuguide.segmentation.region import Task
from nuguide.segmentation.result import Result, Run
from nuguide.slides.reader import Slide, from_array
from nuguide.slides.scale import UNKNOWN
from nuguide.units import AskedMpp

Progress = Callable[[int, int, int], None]
"""Called at the start and after each region: regions done, regions in all, nuclei so far."""


@overload
def segment(
    image: str | Path | NDArray[Any],
    mpp: AskedMpp | None = None,
    *,
    model: str | Path | Model = "default",
    device: str = "auto",
    backend: str | None = None,
    views: int = 1,
    stains: AskedStains = "he",
    positive: AskedThresholds | None = None,
    decoding: Mapping[str, float] | None = None,
    out: None = None,
) -> Result: ...


@overload
def segment(
    image: str | Path,
    mpp: AskedMpp | None = None,
    *,
    model: str | Path | Model = "default",
    device: str = "auto",
    backend: str | None = None,
    views: int = 1,
    stains: AskedStains = "he",
    positive: AskedThresholds | None = None,
    decoding: Mapping[str, float] | None = None,
    out: str | Path,
    roi: str | Path | None = None,
    tissue: bool = True,
    tissue_threshold: float | None = None,
    labels: Labels = "auto",
    csv: bool = False,
    overwrite: bool = False,
) -> Run: ...


def segment(
    image: str | Path | NDArray[Any],
    mpp: AskedMpp | None = None,
    *,
    model: str | Path | Model = "default",
    device: str = "auto",
    backend: str | None = None,
    views: int = 1,
    stains: AskedStains = "he",
    positive: AskedThresholds | None = None,
    decoding: Mapping[str, float] | None = None,
    out: str | Path | None = None,
    roi: str | Path | None = None,
    tissue: bool = True,
    tissue_threshold: float | None = None,
    labels: Labels = "auto",
    csv: bool = False,
    overwrite: bool = False,
) -> Result | Run:
    """Segment the nuclei of an image, in memory or into a run folder.

    Parameters
    ----------
    image : path or ndarray
        A PNG, JPEG or TIFF file, or an array (H, W), (H, W, 3) or (H, W, 4).
    mpp : float or "estimate", optional
        Microns per pixel; needed where the file does not tell, and for an array. An estimate is
        made from the size of nuclei where the file does not tell, and is rough: see
        ``nuguide.segmentation.estimate``.
    model : str, Path or Model
        Name, folder or model, see ``nuguide.load``.
    device : str
        ``auto`` takes a GPU if there is one; otherwise as torch names it.
    backend : str, optional
        What computes the model, see ``nuguide.backends.registry``: ``torch``, ``compile``,
        ``onnx``, ``openvino``, ``bfloat16``, ``int8`` or ``auto``. None: what the model came with;
        torch.
    views : int
        In how many ways each region is looked at, turned and mirrored, and their mean taken: 1, 2,
        4 or 8; so many times as long the network takes. 1: however many the model has.
    stains : str, Path or Stains
        Which are measured: ``he``, haematoxylin and eosin; ``hdab``, haematoxylin and DAB; or your
        own, see ``nuguide.nuclei.stain_choice.asked_stains``.
    positive : float or sequence of float, optional
        Mean optical density of the second stain from which on a nucleus is positive, or three
        that rise, for 1+, 2+ and 3+. Not for ``he``.
    decoding : mapping of str to float, optional
        Other values than the model's card has, by the names of ``nuguide.models.card.Decoding``,
        such as ``{"min_area_um2": 5}``.
    out : path, optional
        Run folder: nothing of the size of the image is held in memory then, and the same call
        again goes on where it was stopped, and makes the files that a finished run lacks from its
        nuclei. Needed for whole slides, and for what follows; not for arrays. Where several images
        were written there, the image's own folder in it.
    roi : path, optional
        GeoJSON of polygons (QuPath annotations): only nuclei inside are wanted.
    tissue : bool
        Whether to look for tissue in a whole slide; False takes all of it.
    tissue_threshold : float, optional
        Optical density from which something is tissue; given, any image is searched.
    labels : "auto", "zarr", "tiff" or "none"
        The label map; "auto" is OME-Zarr for whole slides and TIFF for other images.
    csv : bool
        Whether the measurements are written as CSV too.
    overwrite : bool
        Replace another run that lies in the folder; begin anew.

    Returns
    -------
    Result or Run
        Without ``out``, ``nuclei``, ``labels`` and ``save()``; with it, the folder, and its
        nuclei as they are asked for.

    Raises
    ------
    InputError
        If the image cannot be read, or is a whole slide and ``out`` is not given, or the backend
        cannot be used here, or views, stains, thresholds, decoding or region of interest make no
        sense.
    OutputError
        If ``out`` cannot be written, holds another run, or writing there would spoil the image.
    ResolutionError
        If its um/px are missing, out of range or too coarse for the model.
    ModelError
        If the model is unknown or damaged.

    Examples
    --------
    >>> result = nuguide.segment("tissue.png", mpp=0.25)  # doctest: +SKIP
    >>> result.save("out")  # doctest: +SKIP
    >>> run = nuguide.segment("slide.svs", out="out")  # doctest: +SKIP
    >>> run.nuclei.to_table(columns=["area_um2"])  # doctest: +SKIP
    """
    staining = asked_staining(stains, positive)
    where = Where(tissue, tissue_threshold, None if roi is None else Path(roi))
    settings = Settings(
        mpp, where, outputs=Outputs(labels, csv), overwrite=overwrite, staining=staining
    )
    if out is None:
        _refuse_for_memory(settings)
    loaded = with_decoding(load(model), decoding or {})
    if backend is not None:
        loaded = with_backend(loaded, backend, device)
    if views != 1:
        loaded = with_views(loaded, views)
    if not isinstance(image, str | Path):
        if out is not None:
            raise InputError(
                f"an array was given with out={str(out)!r}; expected a file's path for that; "
                "leave it out, and call save() on the result"
            )
        moved = on_device(loaded, device)
        scale = estimate_scale(from_array(image, UNKNOWN), moved) if mpp == "estimate" else mpp
        return segment_slide(check_scale(from_array(image, scale), moved), moved, staining=staining)
    if out is not None:
        return _segment_into(Path(image), Path(out), loaded, device, settings)
    slide = open_scaled(image, mpp, on_device(loaded, device))
    if slide.streams:
        slide.close()
        height, width = slide.shape
        raise InputError(
            f"{slide.name} is a whole slide ({width} x {height} px); expected a folder for its "
            'nuclei and labels; give it, for example out="out"'
        )
    return segment_slide(slide, on_device(loaded, device), staining=staining)


def _refuse_for_memory(settings: Settings) -> None:
    """Refuse what only a run folder can have."""
    asked = {
        "roi": settings.where.roi is not None,
        "tissue_threshold": settings.where.threshold is not None,
        "labels": settings.outputs.labels != "auto",
        "csv": settings.outputs.csv,
        "overwrite": settings.overwrite,
    }
    if names := [name for name, given in asked.items() if given]:
        raise InputError(
            f"{', '.join(names)} given without out; expected a run folder for that; give it, for "
            'example out="out", or ask save() of the result for other files'
        )


def _segment_into(image: Path, out: Path, model: Model, device: str, settings: Settings) -> Run:
    pairs = plan_batch([image], out)
    engine = local_engine(model, device)
    batch = Batch(pairs, lambda image, folder: begin(image, folder, model, settings), engine)
    (ended,) = batch.run()
    if isinstance(ended.outcome, NuguideError):
        raise ended.outcome
    if ended.outcome.folder != out:  # it lies among the runs of other images
        write_summary([ended], out / SUMMARY_FILE)
    return ended.outcome


def segment_array(rgb: NDArray[np.uint8], mpp: float, model: Model) -> Result:
    """Segment an array (H, W, 3) uint8 at ``mpp`` um/px."""
    return segment_slide(from_array(rgb, mpp), model)


def segment_slide(
    slide: Slide,
    model: Model,
    *,
    cut: Cut | None = None,
    progress: Progress | None = None,
    staining: Staining | None = None,
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
    staining : Staining, optional
        What is measured of the stains, and what counts as positive; None: haematoxylin and eosin.
    """
    start = time.perf_counter()
    cut = cut_for(model, cut)
    regions = plan(slide, model, cut)
    staining = staining or Staining()
    pieces: list[pa.Table] = []
    found = 0
    tasks = (Task(slide, region, staining) for region in regions)
    for computed in LocalEngine(model).compute(tasks):
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
    cut_and_area = asdict(cut) | Area().configuration()
    configuration = configuration_of(slide, model, cut_and_area, staining)
    seconds = time.perf_counter() - start
    return Result(nuclei, canvas.labels, slide, model.card, seconds, configuration, model.backend)

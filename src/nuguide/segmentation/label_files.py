"""The label map of a run folder: what it is painted on, and the forms in which it is written."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nuguide.export.label_maps import opened_labels, windows_of
from nuguide.export.label_pyramid import open_labels
from nuguide.export.labels import write_labels
from nuguide.segmentation.joining import ArrayCanvas, Canvas
from nuguide.segmentation.ledger import FRAGMENTS_FOLDER
from nuguide.slides.reader import Slide

TIFF_FILE = "labels.tif"
ZARR_FOLDER = "labels.ome.zarr"
LABEL_FILES = (ZARR_FOLDER, TIFF_FILE)


@contextmanager
def opened_canvas(folder: Path, slide: Slide, files: Collection[str]) -> Iterator[Canvas | None]:
    """Open what the labels of a slide are painted on.

    In memory for an image that lies there too, ``pyramid_of`` a whole slide, None if nobody wants
    the labels of one.
    """
    if not slide.streams:
        yield ArrayCanvas(slide.shape)
    elif not any(name in files for name in LABEL_FILES):
        yield None
    else:
        path = pyramid_of(folder, files)
        with open_labels(path, slide.shape, slide.mpp, slide.thumbnail()) as canvas:
            slide.forget()  # the pixels of the thumbnail are not needed while labels are painted
            yield canvas


def pyramid_of(folder: Path, files: Collection[str]) -> Path:
    """Return where the labels of a whole slide are painted.

    Where only a TIFF is made of them they lie among the fragments, and go with these.
    """
    return (folder if ZARR_FOLDER in files else folder / FRAGMENTS_FOLDER) / ZARR_FOLDER


def write_label_files(
    folder: Path,
    slide: Slide,
    files: Collection[str],
    labels: NDArray[np.int32] | Path | None,
) -> None:
    """Write those forms of the label map that are among ``files``; arguments as of all outputs."""
    if labels is None:
        return
    if TIFF_FILE in files:
        write_labels(labels, folder / TIFF_FILE, slide.mpp)
    pyramid = folder / ZARR_FOLDER
    painted = isinstance(labels, Path) and labels == pyramid
    if ZARR_FOLDER not in files or painted:
        return
    with (
        opened_labels(labels) as source,
        open_labels(pyramid, slide.shape, slide.mpp, slide.thumbnail()) as canvas,
    ):
        for y, x, window in windows_of(source):
            canvas.write(y, x, window)


def other_form(folder: Path, name: str) -> Path:
    """Return where the label map lies in the form that ``name`` is not."""
    return folder / LABEL_FILES[1 - LABEL_FILES.index(name)]

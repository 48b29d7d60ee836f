"""A finished run that is asked for again: is it whole, and what it lacks made of the rest.

So are other thresholds of positive nuclei, which nothing need be measured for.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nuguide.export.label_maps import is_whole, opened_labels
from nuguide.export.table import fault_of
from nuguide.nuclei.staining import second_stain_of
from nuguide.segmentation.area import Area
from nuguide.segmentation.grading import (
    GRADED,
    differs_in_thresholds,
    grade_table,
    graded_record,
    without_thresholds,
)
from nuguide.segmentation.label_files import LABEL_FILES, other_form
from nuguide.segmentation.ledger import Ledger, sweep
from nuguide.segmentation.outputs import NUCLEI_FILE, REPORT_FILE, write_outputs, write_page
from nuguide.segmentation.record import Configuration, read_record, write_record
from nuguide.segmentation.summary import summary
from nuguide.slides.reader import Slide


def why_again(
    folder: Path, configuration: Configuration, slide: Slide, files: Sequence[str]
) -> str:
    """Say why an image must be segmented again though its run was finished; empty if it need not.

    Parameters
    ----------
    folder : Path
        Holds the finished run.
    configuration : dict
        What is asked for: that of the run, but perhaps for its thresholds.
    slide : Slide
        The image.
    files : sequence of str
        What is asked for.

    Notes
    -----
    A label map is made of one of the other form, not of outlines: these fill the holes of a nucleus
    and leave out its specks, so that they do not tell it to the pixel.
    """
    lacking = _lacking(folder, files)
    nuclei = int(read_record(folder)["found"]["nuclei"])
    # What is made of the table must not be made of a damaged one; else its end is enough.
    used = bool(lacking) or differs_in_thresholds(folder, configuration)
    fault = fault_of(folder / NUCLEI_FILE, nuclei, thoroughly=used)
    if fault:
        return f"{NUCLEI_FILE} {fault}"
    for name in set(lacking).intersection(LABEL_FILES):
        other = other_form(folder, name)
        if not other.exists():
            return (
                f"{name} is missing, and outlines do not tell it to the pixel (--labels none does "
                "without)"
            )
        if not is_whole(other, slide.shape, nuclei):
            return f"{name} is missing, and {other.name} is not whole"
    return ""


def complete(
    folder: Path,
    configuration: Configuration,
    slide: Slide,
    files: Sequence[str],
    area: Area,
    types: Sequence[str],
) -> tuple[str, ...]:
    """Make what a finished run lacks of what it has, where nothing speaks against it.

    Parameters
    ----------
    folder, configuration, slide, files
        As above.
    area : Area
        What was looked at of the image.
    types : sequence of str
        Those that the model tells apart, in its order.

    Returns
    -------
    tuple of str
        What was made.

    Raises
    ------
    OutputError
        If the folder cannot be written, or another run writes to it.
    """
    made = _lacking(folder, files)
    graded = differs_in_thresholds(folder, configuration)
    if graded:
        there = [name for name in GRADED if (folder / name).exists()]
        made = tuple(dict.fromkeys([*there, *made]))
    if not made:
        return ()
    # Nobody else writes meanwhile; and whatever ends this, other thresholds may be asked for next.
    with Ledger(folder, without_thresholds(configuration)):
        sweep(folder)
        thresholds = configuration.get("positive", ())
        if graded:
            grade_table(folder, thresholds)
        labels = _labels_for(made, folder, slide)
        second = second_stain_of(configuration)
        write_outputs(folder, slide, made, labels, types, second, area.mask)
        record = read_record(folder)
        if graded:
            record = graded_record(record, configuration, summary(folder, types, thresholds))
        if REPORT_FILE in made:
            write_page(folder, slide, record, types, area.mask)
        if graded:
            write_record(folder, record)
    return made


def _lacking(folder: Path, files: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in files if not (folder / name).exists())


def _labels_for(
    lacking: Sequence[str], folder: Path, slide: Slide
) -> NDArray[np.int32] | Path | None:
    """Return the labels of which a form is to be made; None if none is."""
    for name in set(lacking).intersection(LABEL_FILES):
        if slide.streams:
            return other_form(folder, name)
        with opened_labels(other_form(folder, name)) as labels:
            return np.asarray(labels[:], np.int32)
    return None

"""Nuclei of whole slides, counted by a run and corrected by fields that a person annotated."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.datasets.frame import ENDING, Frame, read_frame
from nuguide.datasets.qupath_geojson import Drawn, read_drawn
from nuguide.datasets.qupath_samples import IGNORE, REGION
from nuguide.errors import DataSetError, InputError
from nuguide.evaluation.points import ALL, drawn_points, found_by, polygon_of
from nuguide.evaluation.sampling import Stratum
from nuguide.evaluation.tally import Tally, tally
from nuguide.nuclei.positivity import NEGATIVE, POSITIVE
from nuguide.segmentation.record import RUN_FILE
from nuguide.segmentation.result import Run

_NEAR_PX = 1.0
"""How far along each axis an area may have moved on its way through QuPath."""


@dataclass(frozen=True, eq=False)
class Slide:
    """A slide whose nuclei a run counted, and some of whose squares a person annotated.

    Attributes
    ----------
    name : str
        Of the slide.
    frame : Frame
        Its squares.
    run : Run
        The run.
    found : Tally
        The run's nuclei.
    annotated : Tally
        The person's.

    Notes
    -----
    A nucleus belongs to the square that its centroid lies in. In a drawn square neither side counts
    where nobody could tell.
    """

    name: str
    frame: Frame
    run: Run
    found: Tally
    annotated: Tally

    def stratum(self, kinds: Sequence[str]) -> Stratum:
        """Return the counts of each kind, in all squares and in those that were drawn."""
        found = self.found.in_fields(kinds)
        everywhere = self.found.elsewhere(kinds) + found.sum(axis=0)
        annotated = self.annotated.in_fields(kinds)
        return Stratum(self.frame.squares.size, everywhere, found, annotated)


def open_slides(out: Path, annotations: Path) -> list[Slide]:
    """Pair each slide's fields with its run, by the digest of the slide.

    Parameters
    ----------
    out : Path
        A run folder, or one that holds some at any depth.
    annotations : Path
        Holds ``<slide>.geojson`` and what ``nuguide fields`` wrote beside it.

    Raises
    ------
    DataSetError
        If there are no fields, or an annotation is missing, damaged or incomplete.
    InputError
        If a slide has no run, or several.
    OutputError
        If a run's record cannot be read.
    """
    # Copied from a Mac, each file may have a companion ._*.
    paths = [each for each in sorted(annotations.glob(f"*{ENDING}")) if each.name[0] != "."]
    if not paths:
        raise DataSetError(
            f"{annotations} holds no file that ends in {ENDING}; expected the folder that nuguide "
            "fields wrote to; give that one"
        )
    frames = {path: read_frame(path) for path in paths}
    _check_slides(frames)
    runs = _runs_in(out)
    return [_opened(frame, path, runs, out) for path, frame in frames.items()]


def without_frame(annotations: Path) -> list[str]:
    """List the GeoJSON of a folder that nobody knows to be drawn at random, by name."""
    endings = (".geojson", ".geojson.gz")
    return [
        path.name
        for path in sorted(annotations.iterdir())
        for ending in endings
        if path.name.endswith(ending)
        and path.name[0] != "."
        and not (annotations / f"{path.name.removesuffix(ending)}{ENDING}").is_file()
    ]


def kinds_of(slides: Sequence[Slide]) -> list[str]:
    """List what the person told apart: ``ALL``, then ``Positive``, then types by name.

    Raises
    ------
    DataSetError
        If some nuclei in the fields have a positivity or a type, and others have none.
    """
    kinds = [ALL]
    for values in ("positivity", "types"):
        known = [_known(slide.annotated, values) for slide in slides]
        names = {name for each in known for name in each}
        if "" in names and names != {""}:
            some = [slide.name for slide, each in zip(slides, known, strict=True) if "" in each]
            without = sum(each.get("", 0) for each in known)
            what = f"is {NEGATIVE} or {POSITIVE}" if values == "positivity" else "has a type"
            raise DataSetError(
                f"{without:,} annotated nuclei in fields of {', '.join(some[:3])} have a class "
                f"that does not say which, while others say whether a nucleus {what}; expected "
                "all or none to; classify them in QuPath"
            )
        kinds += [POSITIVE] if values == "positivity" and names - {""} else []
        kinds += sorted(names - {""}) if values == "types" else []
    return kinds


def told_by_runs(slides: Sequence[Slide], kind: str) -> bool:
    """Tell whether the runs of all slides tell a kind apart."""
    if kind == ALL:
        return True
    if kind == POSITIVE:
        return all(slide.run.labelling is not None for slide in slides)
    return all(kind in slide.run.types for slide in slides)


def uncorrected(slides: Sequence[Slide]) -> list[str]:
    """Name the slides of which all fields hold just as many nuclei as were found, and some do."""
    strata = {slide.name: slide.stratum([ALL]) for slide in slides}
    return [
        name
        for name, each in strata.items()
        if each.found.any() and np.array_equal(each.found, each.annotated)
    ]


def _known(annotated: Tally, values: str) -> dict[str, int]:
    """Return how many nuclei in the fields have each positivity, or each type."""
    known: dict[str, int] = {}
    words: NDArray[np.str_] = getattr(annotated, values)
    inside = annotated.place >= 0
    for word, number in zip(words[inside].tolist(), annotated.number[inside].tolist(), strict=True):
        known[word] = known.get(word, 0) + number
    return known


def _runs_in(out: Path) -> Mapping[str, list[Run]]:
    """Return the finished runs in a folder by the digest of their image."""
    folders = []
    for place, below, files in os.walk(out):
        if RUN_FILE in files:
            folders.append(Path(place))
            below.clear()  # labels.zarr has a file for each of its thousands of chunks
    if not folders:
        raise InputError(
            f"{out} holds no finished run; expected the folder that nuguide segment wrote to; "
            "segment the slides first"
        )
    runs: dict[str, list[Run]] = {}
    for folder in sorted(folders):
        run = Run(folder, ())
        digest = str(run.record["configuration"].get("image_sha256", ""))
        runs.setdefault(digest, []).append(run)
    return runs


def _opened(frame: Frame, path: Path, runs: Mapping[str, list[Run]], out: Path) -> Slide:
    there = runs.get(frame.image_sha256, [])
    if len(there) != 1:
        names = ", ".join(str(run.folder) for run in there)
        raise InputError(
            f"{out} holds {len(there)} finished runs of {frame.image}"
            f"{f' ({names})' if names else ''}; expected one of the slide that fields were drawn "
            "of; segment it, or give a folder with one run of it"
        )
    (run,) = there
    _check_scale(frame, run, path)
    drawn = read_drawn(_geojson_beside(path))
    _check_fields(frame, drawn, path)
    nuclei = [each for each in drawn if each.kind not in (IGNORE, REGION)]
    vague = shapely.union_all([polygon_of(each.outline) for each in drawn if each.kind == IGNORE])
    shapely.prepare(vague)
    annotated = tally([drawn_points(nuclei)], frame, vague)
    return Slide(frame.image, frame, run, tally(found_by(run), frame, vague), annotated)


def _check_scale(frame: Frame, run: Run, path: Path) -> None:
    mpp = float(run.record["configuration"]["mpp"])
    if not math.isclose(mpp, frame.mpp, rel_tol=1e-6):
        raise InputError(
            f"{run.folder} was segmented at {mpp:g} um/px, the fields of {path} were drawn at "
            f"{frame.mpp:g}; expected one scale, which is the slide's own; segment it, or draw "
            "fields, with the right --mpp"
        )


def _geojson_beside(frame: Path) -> Path:
    stem = frame.name.removesuffix(ENDING)
    places = [frame.with_name(f"{stem}.geojson{packed}") for packed in ("", ".gz")]
    for place in places:
        if place.is_file():
            return place
    raise DataSetError(
        f"{places[0]} is missing; expected the annotated fields of {stem}; export them from QuPath"
    )


def _check_slides(frames: Mapping[Path, Frame]) -> None:
    """Refuse two sets of fields of one slide, which would count twice."""
    first: dict[str, Path] = {}
    for path, frame in frames.items():
        other = first.setdefault(frame.image_sha256, path)
        if other != path:
            raise DataSetError(
                f"{other} and {path.name} are of the same slide; expected fields of each slide "
                "once; move one of the two to another folder, with its GeoJSON"
            )


def _check_fields(frame: Frame, drawn: Sequence[Drawn], path: Path) -> None:
    """Refuse annotations in which a field that was drawn is missing: the rest is nobody's draw."""
    areas = np.array([polygon_of(each.outline) for each in drawn if each.kind == REGION], object)
    corners = shapely.bounds(areas).reshape(-1, 4)
    for field in frame.fields:
        box = shapely.box(field.x, field.y, field.x + field.width, field.y + field.height)
        near = np.abs(corners - box.bounds).max(axis=1) <= _NEAR_PX
        apart = shapely.hausdorff_distance(shapely.boundary(areas[near]), box.exterior)
        if not (apart <= 2**0.5 * _NEAR_PX).any():
            raise DataSetError(
                f"{_geojson_beside(path)} lacks one of {frame.drawn.size} fields, which begins "
                f"at x {field.x}, y {field.y} px; expected all that were drawn, as they were: "
                "fields that somebody leaves out are those that look bad; annotate it (those of "
                "--add lie in added/)"
            )

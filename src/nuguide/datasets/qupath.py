"""Nuclei drawn or detected in QuPath: images and whole slides with GeoJSON of the same stem.

::

    images/<stem>.png|tif|jpg|bmp     or a slide: svs, ndpi, mrxs, scn, bif, OME-TIFF, OME-Zarr
    annotations/<stem>.geojson[.gz]   or detections/, geojson/, or beside the images
    index.csv                         optional, as in a plain folder

Names that QuPath itself gives a meaning keep it: what is classified ``Ignore*`` is ambiguous, and
where there are objects of the class ``Region*``, all that lies outside them is. Each of these is a
sample of its own, with a margin of tissue around it; a whole slide must have one. A slide's um/px
are its own, unless they are stated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.folder import FOLDS, Row, rows_of_index, stated
from nuguide.datasets.pictures import SUFFIXES, by_stem
from nuguide.datasets.polygons import Outline
from nuguide.datasets.qupath_geojson import Drawn, read_drawn
from nuguide.datasets.qupath_samples import IGNORE, MARGIN_UM, REGION, Annotated, read_sample
from nuguide.errors import DataSetError, InputError
from nuguide.slides.finding import IMAGE_SUFFIXES
from nuguide.slides.opening import open_stored
from nuguide.slides.reader import open_slide

_FOLDERS = ("annotations", "detections", "geojson", "images", ".")
_ENDINGS = (".geojson", ".geojson.gz")
_IMAGES = frozenset(SUFFIXES) | frozenset(IMAGE_SUFFIXES) | {".zarr"}
_TIFF = (".tif", ".tiff")


def is_qupath(root: Path) -> bool:
    """Tell whether ``root`` has GeoJSON in one of the places where it is looked for."""
    return _place(root) is not None


def open_qupath(root: Path, mpp: float | None) -> DataSet:
    """Pair every image with the GeoJSON of its stem.

    All files are read once for the names of the classes, so that a class has the same number in
    every image: the names in alphabetical order, from 1. Of a slide its annotated areas, and what
    lies in them, are kept.

    Raises
    ------
    DataSetError
        If there is no image, or a GeoJSON or a slide is damaged.
    ResolutionError
        If an image has no um/px, or one out of range.
    """
    place = _place(root)
    pictures = root / "images" if (root / "images").is_dir() else root
    images = by_stem(pictures, _IMAGES)
    if place is None or not images:
        raise DataSetError(
            f"{root} holds {len(images)} pictures and {'no' if place is None else 'some'} GeoJSON; "
            "expected images/ and annotations/, paired by file name without its ending; give the "
            "folder that holds the two"
        )
    files = {_stem(path): path for path in _geojsons(place)}
    drawn = {stem: read_drawn(path) for stem, path in files.items()}
    kinds = {each.kind for objects in drawn.values() for each in objects}
    classes = tuple(sorted(kinds - {"", IGNORE, REGION}))
    if len(classes) > 255:
        raise DataSetError(
            f"{place} has {len(classes)} classes; expected at most 255; merge some in QuPath"
        )
    rows = rows_of_index(root / "index.csv")
    found: list[Annotated] = []
    bare: list[Finding] = []
    for stem, path in images.items():
        if stem not in files:
            continue
        is_slide = _is_slide(path)
        row = rows.get(stem) or rows.get(path.name) or Row()
        row = _of_slide(row, mpp, path) if is_slide else stated(row, mpp, path, root)
        whole = Annotated(
            stem, path, is_slide, row, None, partial(read_drawn, files[stem]), classes
        )
        areas = _areas(whole, drawn[stem])
        found += areas or ([] if is_slide else [whole])
        bare += [_bare(path)] if is_slide and not areas else []
    return DataSet(
        name="qupath",
        title="images with QuPath's GeoJSON",
        licence="",
        root=root,
        entries=tuple(_entry(each) for each in found),
        findings=(*_unpaired(images, files), *bare),
        classes=classes,
        fold_counts=(FOLDS,),
    )


def _entry(what: Annotated) -> Entry:
    row = what.row
    return Entry(
        what.name, partial(read_sample, what), row.part, row.organ, row.patient, row.source
    )


def _is_slide(path: Path) -> bool:
    """Tell whether an image is one of which only parts are read."""
    if path.suffix.lower() in _TIFF:
        try:
            levels = open_stored(path).levels
        except InputError:
            return False  # what is wrong with it is told where pictures are read
        levels.close()
        return not levels.in_memory
    return path.suffix.lower() not in SUFFIXES


def _of_slide(row: Row, mpp: float | None, path: Path) -> Row:
    """Return the row of a slide with its um/px: what is stated, else what the slide tells."""
    try:
        with open_slide(path, row.mpp if mpp is None else mpp) as slide:
            return replace(
                row,
                mpp=slide.mpp,
                mpp_estimated=bool(slide.warnings),
                source=row.source or path.stem,
            )
    except InputError as error:
        raise DataSetError(str(error)) from error


def _areas(whole: Annotated, drawn: Sequence[Drawn]) -> list[Annotated]:
    """List the annotated areas of an image from its top down, each with what lies in it."""
    areas = [each.outline for each in drawn if each.kind == REGION and each.outline.pieces]
    areas.sort(key=lambda area: area.bounds[0].tolist()[::-1])
    # Areas of one image belong on one side, as images of one slide do.
    row = replace(whole.row, source=whole.row.source or (whole.name if areas[1:] else ""))
    return [
        replace(
            whole,
            name=f"{whole.name}-{number}" if areas[1:] else whole.name,
            row=row,
            area=area,
            drawn=partial(list, _near(area, drawn, MARGIN_UM / (row.mpp or 1))),
        )
        for number, area in enumerate(areas, start=1)
    ]


def _near(area: Outline, drawn: Sequence[Drawn], margin: float) -> list[Drawn]:
    """List the objects that reach into an area or its margin, px."""
    low, high = area.bounds
    objects = [each for each in drawn if each.outline.pieces]
    if not objects:
        return []
    lows, highs = (
        np.array(ends) for ends in zip(*(e.outline.bounds for e in objects), strict=True)
    )
    reaching = (highs >= low - margin) & (lows <= high + margin)
    return [objects[number] for number in np.flatnonzero(reaching.all(axis=1))]


def _place(root: Path) -> Path | None:
    for name in _FOLDERS:
        if any(True for _ in _geojsons(root / name)):
            return root / name
    return None


def _geojsons(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.name.lower().endswith(_ENDINGS))


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _bare(path: Path) -> Finding:
    return Finding(
        "error",
        "slide without an annotated area",
        path.name,
        f"{path} has no area of the class {REGION}; expected one at least, in which every nucleus "
        "is outlined; draw it in QuPath and export it along, or take the slide away",
    )


def _unpaired(images: dict[str, Path], drawn: dict[str, Path]) -> list[Finding]:
    bare = [
        Finding(
            "error",
            "image without GeoJSON",
            path.name,
            f"{path} has no annotation; expected a file named {stem}.geojson; add it, or take the "
            "image away",
        )
        for stem, path in images.items()
        if stem not in drawn
    ]
    spare = [
        Finding(
            "warning",
            "GeoJSON without image",
            path.name,
            f"{path} has no image; expected a picture of the same stem; add it, or take the file "
            "away",
        )
        for stem, path in drawn.items()
        if stem not in images
    ]
    return bare + spare

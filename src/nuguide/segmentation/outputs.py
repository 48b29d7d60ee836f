"""The files of a run folder: which there are, and how they come about."""

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nuguide.colours import POSITIVITY_COLOURS, Rgb, colours_of
from nuguide.errors import InputError
from nuguide.export.csv import write_csv
from nuguide.export.density import COUNTED, count_density
from nuguide.export.geojson import write_geojson
from nuguide.export.overlay import write_overlay
from nuguide.export.overview import PANEL_PX, write_overview, write_tissue
from nuguide.export.pieces import Writer, regrouped, write_together
from nuguide.export.report import MEASURED, write_report
from nuguide.files import unwritable
from nuguide.nuclei.polygons import Polygons
from nuguide.nuclei.positivity import NEGATIVE
from nuguide.nuclei.schema import empty_nuclei, with_later_columns
from nuguide.segmentation.label_files import (
    LABEL_FILES,
    TIFF_FILE,
    ZARR_FOLDER,
    write_label_files,
)
from nuguide.slides.reader import THUMBNAIL_UM, Slide
from nuguide.slides.tissue import Tissue

NUCLEI_FILE = "nuclei.parquet"
"""Written first; all others are made of it and of the label map."""

GEOJSON_FILE = "nuclei.geojson.gz"
CSV_FILE = "nuclei.csv"
REPORT_FILE = "report.html"
OVERLAY_FILE = "overlay.png"
OVERVIEW_FILE = "overview.png"
TISSUE_FILE = "tissue.png"

MADE_OF_NUCLEI = (GEOJSON_FILE, CSV_FILE, OVERLAY_FILE)
"""Files that show nuclei one by one: written piece by piece, of the table and the image alone."""

KNOWN_FILES = (
    NUCLEI_FILE,
    *MADE_OF_NUCLEI,
    *LABEL_FILES,
    OVERVIEW_FILE,
    TISSUE_FILE,
    REPORT_FILE,
)
"""Whatever a run may write but its record."""

_DRAWN_AT_ONCE = 2048
"""Nuclei that are drawn colour by colour."""

Labels = Literal["auto", "zarr", "tiff", "none"]


@dataclass(frozen=True)
class Outputs:
    """What a run folder shall hold besides the table, the GeoJSON and the pictures.

    Attributes
    ----------
    labels : "auto", "zarr", "tiff" or "none"
        The label map: an OME-Zarr pyramid, a (Big)TIFF, or none; "auto" is TIFF for images that
        lie in memory and OME-Zarr for whole slides.
    csv : bool
        Whether the measurements are also written as CSV.
    """

    labels: Labels = "auto"
    csv: bool = False

    def __post_init__(self) -> None:
        """Refuse a form that there is not: a type is no guard in a script.

        Raises
        ------
        InputError
            If ``labels`` is none of its choices.
        """
        if self.labels not in get_args(Labels):
            raise InputError(
                f"labels {self.labels!r} is no form of the label map; expected "
                f"{', '.join(get_args(Labels))}; take one of these"
            )

    def label_file(self, slide: Slide) -> str | None:
        """Return the name of the label map of a slide; None if there shall be none."""
        auto = ZARR_FOLDER if slide.streams else TIFF_FILE
        names = {"auto": auto, "zarr": ZARR_FOLDER, "tiff": TIFF_FILE, "none": None}
        return names[self.labels]

    def files(self, slide: Slide, tissue: Tissue | None = None) -> tuple[str, ...]:
        """Return the names of all files of a slide's folder but the record.

        ``tissue`` is what is looked at; None: the whole image.
        """
        label_file = self.label_file(slide)
        return (
            GEOJSON_FILE,
            NUCLEI_FILE,
            *([CSV_FILE] if self.csv else []),
            *([label_file] if label_file else []),
            OVERVIEW_FILE if slide.streams else OVERLAY_FILE,
            *([TISSUE_FILE] if slide.streams and tissue is not None else []),
            REPORT_FILE,
        )


def remove_others(folder: Path, files: Sequence[str]) -> None:
    """Remove what a run that is being replaced wrote and the new one, of ``files``, will not.

    Parameters
    ----------
    folder : Path
        Holds a run, and no image (see ``nuguide.segmentation.place``); only ``KNOWN_FILES`` are
        touched.
    files : sequence of str
        Those of the new run.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    for path in (folder / name for name in KNOWN_FILES if name not in files):
        if not path.exists():
            continue
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError as fault:
            raise unwritable(path, fault) from fault


def write_outputs(
    folder: Path,
    slide: Slide,
    files: Collection[str],
    labels: NDArray[np.int32] | Path | None,
    types: Sequence[str],
    second_stain: str,
    tissue: Tissue | None = None,
) -> None:
    """Write what is made of the table of nuclei and of the label map.

    Parameters
    ----------
    folder : Path
        Holds ``NUCLEI_FILE``.
    slide : Slide
        The image.
    files : collection of str
        Names of what is to be written; the table itself, the report and the record are not.
    labels : ndarray, Path or None
        (H, W) int32 of an image that lies in memory; the file in which they are of a whole slide;
        None where no label map is to be written.
    types : sequence of str
        Those that the model tells apart, in its order.
    second_stain : str
        Name of the stain beside haematoxylin.
    tissue : Tissue or None
        What was looked at; None: the whole image.
    """
    draw = _picture(folder, slide, files, tissue)
    writers = nuclei_writers(folder, slide, files, types, second_stain)
    # Nearly all of it is compiled code, which leaves Python free to draw.
    with ThreadPoolExecutor(2, thread_name_prefix="files") as beside:
        written = [
            beside.submit(write_together, read_pieces(folder) if writers else (), writers),
            beside.submit(write_label_files, folder, slide, files, labels),
        ]
        draw()
        for file in written:
            file.result()


def nuclei_writers(
    folder: Path, slide: Slide, files: Collection[str], types: Sequence[str], second_stain: str
) -> list[Writer]:
    """Return what writes the nuclei, piece by piece, in those of ``MADE_OF_NUCLEI`` asked for."""
    mpp, geojson, csv = slide.mpp, folder / GEOJSON_FILE, folder / CSV_FILE

    def overlay(pieces: Iterable[pa.Table]) -> None:
        # In groups of their own: which outline lies on which depends on no cut into pieces.
        groups = regrouped(pieces, _DRAWN_AT_ONCE)
        outlined = ((Polygons.from_wkb(n["geometry"]), _outline_colours(n, types)) for n in groups)
        # The image has no name here: it goes as soon as it is shrunk.
        write_overlay(slide.read(0, 0, *slide.shape, slide.mpp), outlined, folder / OVERLAY_FILE)

    writers: dict[str, Writer] = {
        GEOJSON_FILE: lambda pieces: write_geojson(pieces, geojson, mpp, types, second_stain),
        CSV_FILE: lambda pieces: write_csv(pieces, csv),
        OVERLAY_FILE: overlay,
    }
    return [write for name, write in writers.items() if name in files]


def _picture(
    folder: Path, slide: Slide, files: Collection[str], tissue: Tissue | None
) -> Callable[[], None]:
    """Read what the pictures of a whole slide need; what is returned draws them."""
    if not (OVERVIEW_FILE in files or TISSUE_FILE in files):
        return lambda: None
    # Before the tables are written: the two at once would be the peak of a large slide.
    thumbnail = slide.thumbnail(max(THUMBNAIL_UM, slide.mpp * max(slide.shape) / PANEL_PX))
    slide.forget()
    return lambda: _write_overview(folder, slide, files, thumbnail, tissue)


def _outline_colours(nuclei: pa.Table, types: Sequence[str]) -> list[Rgb] | None:
    """Return the colour of each nucleus: of its positivity, else of its type; None: all alike."""
    if nuclei["positivity"].null_count < nuclei.num_rows:
        return [POSITIVITY_COLOURS[each] for each in nuclei["positivity"].to_pylist()]
    colour = colours_of(types)
    return [colour[kind] for kind in nuclei["type"].to_pylist()] if types else None


def _write_overview(
    folder: Path,
    slide: Slide,
    files: Collection[str],
    thumbnail: NDArray[np.uint8],
    tissue: Tissue | None,
) -> None:
    """Draw a slide as a whole: where nuclei are dense, and where tissue was found."""
    size_um = (slide.shape[0] * slide.mpp, slide.shape[1] * slide.mpp)
    if OVERVIEW_FILE in files:
        density = count_density(read_pieces(folder, COUNTED), size_um, tissue)
        positive = count_density(_positive(folder), size_um, tissue) if _graded(folder) else None
        area = None if tissue is None else tissue.area_mm2
        write_overview(thumbnail, density, folder / OVERVIEW_FILE, area, positive)
    if TISSUE_FILE in files and tissue is not None:
        write_tissue(thumbnail, tissue.mask, folder / TISSUE_FILE, size_um)


def _graded(folder: Path) -> bool:
    """Tell whether the nuclei of a run folder have a positivity."""
    return any(
        piece["positivity"].null_count < piece.num_rows
        for piece in read_pieces(folder, ["positivity"])
    )


def _positive(folder: Path) -> Iterator[pa.Table]:
    """Read where the positive nuclei of a run folder lie."""
    for piece in read_pieces(folder, [*COUNTED, "positivity"]):
        yield piece.filter(pc.not_equal(piece["positivity"], NEGATIVE))


def write_page(
    folder: Path,
    slide: Slide,
    record: dict[str, Any],
    types: Sequence[str],
    tissue: Tissue | None = None,
) -> None:
    """Write the report of a folder in which all other files are; arguments as above."""
    graded = ", and which share is positive" if "positivity" in record["found"] else ""
    by = ", by positivity" if graded else ", by type" if types else ""
    told = {
        OVERLAY_FILE: f"Outlines of the nuclei{by}",
        OVERVIEW_FILE: f"Density of nuclei{graded}",
        TISSUE_FILE: "Tissue that was looked at",
    }
    pictures = [(line, folder / name) for name, line in told.items() if (folder / name).exists()]
    write_report(
        record,
        read_pieces(folder, MEASURED),
        pictures,
        folder / REPORT_FILE,
        area_mm2=searched_mm2(slide, tissue),
        types=types,
        warnings=slide.warnings,
    )


def searched_mm2(slide: Slide, tissue: Tissue | None = None) -> float:
    """Return the area that was looked at, mm2: that of the tissue, else of the whole image."""
    height, width = slide.shape
    return height * width * (slide.mpp / 1e3) ** 2 if tissue is None else tissue.area_mm2


def read_pieces(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Read the nuclei of a run folder, a row group at a time; all columns, or those named."""
    with (folder / NUCLEI_FILE).open("rb") as opened:
        file = pq.ParquetFile(opened)
        for group in range(file.num_row_groups):
            nuclei = with_later_columns(file.read_row_group(group, columns))
            yield nuclei if columns is None else nuclei.select(columns)


def read_columns(folder: Path, columns: Sequence[str]) -> pa.Table:
    """Read some columns of all nuclei of a run folder."""
    return pa.concat_tables([empty_nuclei().select(columns), *read_pieces(folder, columns)])

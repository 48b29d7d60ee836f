"""MoNuSeg 2018: 44 H&E images of 1000 x 1000 px at 40x, 30 to train and 14 to test.

Kumar et al., "A Multi-Organ Nucleus Segmentation Challenge", IEEE TMI 39(5), 2020; training images
of Kumar et al., IEEE TMI 36(7), 2017. CC BY-NC-SA 4.0. Every image is of another patient.

Two layouts are read. As downloaded: a TIFF and an Aperio XML for each image, in any folders. And
with ``index.csv`` (columns ``case``, ``monuseg2018_split``, ``organ``, ``patient``),
``images/<case>.png`` and ``masks/<case>.png`` (instance maps).
"""

from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from nuguide.datasets.aperio import read_aperio
from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Finding
from nuguide.datasets.index import header_of, read_index
from nuguide.datasets.pictures import read_pair, read_rgb
from nuguide.datasets.polygons import rasterise
from nuguide.errors import DataSetError

MPP = 0.25
"""um/px, nominal at 40x."""

VALIDATION = frozenset(
    {
        "TCGA-E2-A14V-01Z-00-DX1",  # breast
        "TCGA-B0-5698-01Z-00-DX1",  # kidney
        "TCGA-50-5931-01Z-00-DX1",  # liver
        "TCGA-G9-6348-01Z-00-DX1",  # prostate
        "TCGA-NH-A8F7-01A-01-TS1",  # colon
        "TCGA-RD-A8N9-01A-01-TS1",  # stomach
    }
)
"""Part of the 30 training images on which choices are made: 6 patients, 6 of the 7 organs."""

_COLUMNS = {"case", "monuseg2018_split", "organ", "patient"}
_PATIENT = 12
"""Characters of a TCGA barcode that name the patient."""
_DEPTH = 3
_Part = Literal["train", "validation", "test"]


def is_monuseg(root: Path) -> bool:
    """Tell whether ``root`` has the layout with ``index.csv``."""
    return "monuseg2018_split" in header_of(root / "index.csv")


def open_monuseg(root: Path, mpp: float | None = None) -> DataSet:
    """Open the layout with ``index.csv``; ``mpp`` is not needed and not read.

    Raises
    ------
    DataSetError
        If the index is damaged or lacks a column.
    """
    rows = read_index(root / "index.csv", _COLUMNS)
    unknown = sorted({row["monuseg2018_split"] for row in rows} - {"train", "test"})
    if unknown:
        raise DataSetError(
            f"{root / 'index.csv'} names the split {unknown[0]!r}; expected train or test; "
            "take the data set again"
        )
    entries = [
        Entry(
            row["case"],
            partial(_read_png, root, row["case"], row["organ"], row["patient"]),
            part_of(row["case"], row["monuseg2018_split"]),
            row["organ"],
            row["patient"],
        )
        for row in rows
    ]
    return _data_set(root, entries)


def is_monuseg_xml(root: Path) -> bool:
    """Tell whether ``root`` or folders in it hold TIFF images with Aperio's XML."""
    return any(path.with_suffix(".xml").name in _by_name(root, ".xml") for path in _tiffs(root))


def open_monuseg_xml(root: Path, mpp: float | None = None) -> DataSet:
    """Open MoNuSeg as downloaded; the official parts are known by the names of the images.

    An image that is in neither part is an error among the findings, and so is one without XML.
    """
    annotations, official = _by_name(root, ".xml"), official_parts()
    entries, findings = [], []
    tiffs = _tiffs(root)
    for path in tiffs:
        case, xml = path.stem, annotations.get(f"{path.stem}.xml")
        if xml is None:
            findings.append(_problem(path, "image without XML", f"an XML named {case}.xml"))
        elif case not in official:
            findings.append(_problem(path, "unknown case", "one of the 44 images of MoNuSeg 2018"))
        else:
            split, organ = official[case]
            read = partial(_read_xml, path, xml, organ)
            patient = case[:_PATIENT]
            entries.append(Entry(case, read, part_of(case, split), organ, patient))
    stems = {path.stem for path in tiffs}
    for path in annotations.values():
        if path.stem not in stems:
            findings.append(_problem(path, "XML without image", f"an image {path.stem}.tif"))
    return _data_set(root, entries, tuple(findings))


def official_parts() -> dict[str, tuple[str, str]]:
    """Return for each of the 44 cases its official part, ``train`` or ``test``, and its organ."""
    with as_file(files("nuguide.datasets") / "monuseg2018.csv") as path:
        rows = read_index(path, {"case", "split", "organ"})
    return {row["case"]: (row["split"], row["organ"]) for row in rows}


def part_of(case: str, official: str) -> _Part:
    """Return the part of a case; ``VALIDATION`` is a part of the official ``train``."""
    if official == "test":
        return "test"
    return "validation" if case in VALIDATION else "train"


def _data_set(root: Path, entries: list[Entry], findings: tuple[Finding, ...] = ()) -> DataSet:
    return DataSet(
        name="monuseg2018",
        title="MoNuSeg 2018",
        licence="CC BY-NC-SA 4.0",
        root=root,
        entries=tuple(entries),
        findings=findings,
    )


def _problem(path: Path, problem: str, expected: str) -> Finding:
    text = f"{path}: {problem}; expected {expected}; take the data set again, or remove the file"
    severity: Literal["error", "warning"] = "warning" if problem.startswith("XML") else "error"
    return Finding(severity, problem, path.name, text)


def _tiffs(root: Path) -> list[Path]:
    return [*_by_name(root, ".tif").values()]


def _by_name(root: Path, suffix: str) -> dict[str, Path]:
    """List the files that end in ``suffix`` in ``root`` and the folders close below, by name."""
    patterns = ["/".join(["*"] * depth) + suffix for depth in range(1, _DEPTH + 1)]
    found = [path for pattern in patterns for path in root.glob(pattern)]
    return {path.name: path for path in sorted(found) if not path.name.startswith(".")}


def _read_png(root: Path, case: str, organ: str, patient: str) -> Sample:
    name = f"{case}.png"
    image, labels = read_pair(root / "images" / name, root / "masks" / name)
    return Sample(case, image, labels, MPP, organ=organ, patient=patient)


def _read_xml(path: Path, xml: Path, organ: str) -> Sample:
    image = read_rgb(path)
    labels = rasterise(read_aperio(xml), (image.shape[0], image.shape[1]))
    return Sample(path.stem, image, labels, MPP, organ=organ, patient=path.stem[:_PATIENT])

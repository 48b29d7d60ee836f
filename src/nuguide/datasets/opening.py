"""From a path to samples: which data set is it?"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nuguide.datasets import (
    cc0,
    conic,
    consep,
    consep_tiles,
    cryonuseg,
    folder,
    monuseg,
    nuinsseg,
    qupath,
)
from nuguide.datasets.base import Split
from nuguide.datasets.collection import DataSet, Samples
from nuguide.datasets.joined import join, prefixes
from nuguide.datasets.splits import select, subset
from nuguide.errors import DataSetError


@dataclass(frozen=True)
class Layout:
    """A way in which a data set lies on disk.

    Attributes
    ----------
    looks_like : str
        What is in its folder, for a person who has it laid out otherwise.
    recognise : callable
        Tells from a folder's names, and no more than a file's first line, whether it is this one.
    open : callable
        Lists what is there; decodes no image. The second argument is um/px or None.
    """

    looks_like: str
    recognise: Callable[[Path], bool]
    open: Callable[[Path, float | None], DataSet]


LAYOUTS = (
    Layout(
        "MoNuSeg 2018 (index.csv with monuseg2018_split, images/, masks/)",
        monuseg.is_monuseg,
        monuseg.open_monuseg,
    ),
    Layout(
        "CoNSeP in tiles (index.csv with parent_image, images/, masks/, types/)",
        consep_tiles.is_consep_tiles,
        consep_tiles.open_consep_tiles,
    ),
    Layout(
        "CoNSeP (Train/ and Test/ of Images/ and Labels/)", consep.is_consep, consep.open_consep
    ),
    Layout("CoNIC (images.npy, labels.npy, patch_info.csv)", conic.is_conic, conic.open_conic),
    Layout(
        "CryoNuSeg ('tissue images/Human_*.tif', 'Annotator 1 (biologist)/label masks modify')",
        cryonuseg.is_cryonuseg,
        cryonuseg.open_cryonuseg,
    ),
    Layout(
        "NuInsSeg (<organ>/'tissue images' and <organ>/'label masks modify')",
        nuinsseg.is_nuinsseg,
        nuinsseg.open_nuinsseg,
    ),
    Layout("DSB 2018 (index.csv with appearance, images/, masks/)", cc0.is_dsb, cc0.open_dsb),
    Layout("NuCLS sample (its index.csv, images/, masks/)", cc0.is_nucls, cc0.open_nucls),
    Layout("any images/ and masks/ with equal stems", folder.is_folder, folder.open_folder),
    Layout(
        "images/ and QuPath's annotations/*.geojson with equal stems",
        qupath.is_qupath,
        qupath.open_qupath,
    ),
    Layout(
        "MoNuSeg 2018 as downloaded (*.tif and *.xml)",
        monuseg.is_monuseg_xml,
        monuseg.open_monuseg_xml,
    ),
)
"""What is recognised, in the order in which it is tried: the more particular first."""


def recognise(root: Path, mpp: float | None = None) -> DataSet:
    """Find out which data set lies in ``root``, and list it; no image is decoded.

    Parameters
    ----------
    root : Path
        The folder.
    mpp : float or None
        um/px, where the data set does not tell its own.

    Raises
    ------
    DataSetError
        If ``root`` is no folder or no layout fits; the message says what was found there.
    ResolutionError
        If um/px is missing or out of range.
    """
    if not root.is_dir():
        raise DataSetError(
            f"{root} is no folder; expected the folder of a data set: MoNuSeg 2018, or images/ and "
            "masks/; check the path"
        )
    for layout in LAYOUTS:
        if layout.recognise(root):
            return layout.open(root, mpp)
    held = sorted(path.name + "/" * path.is_dir() for path in root.iterdir())
    shown = ", ".join(held[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")
    raise DataSetError(
        f"{root} holds {shown or 'nothing'}, which is no data set known here; expected one of: "
        f"{'; '.join(layout.looks_like for layout in LAYOUTS)}; lay it out as one of these"
    )


def open_dataset(
    root: Path | Sequence[Path],
    split: Split = "all",
    mpp: float | None = None,
    *,
    fold: int | None = None,
    folds: int | None = None,
    images: int | None = None,
) -> Samples:
    """Open the samples of one split of the data set in ``root``, or of several as one.

    Parameters
    ----------
    root : Path or sequence of Path
        A folder in one of ``LAYOUTS``; or some, each divided by itself: see ``join``.
    split : Split
        Which part. A plain folder is all ``train`` unless its index has a column ``split``.
    mpp : float or None
        um/px of a plain folder; data sets that are known bring their own.
    fold, folds : int or None
        The number, from 1, of the fold that is the test part, and how many there are; for data
        sets without official parts, which otherwise have their first fold as ``test``.
    images : int or None
        Only so many images, an equal share of each organ; fewer lie within more.

    Returns
    -------
    Samples
        At least one; decoded when asked for, where a missing or damaged file raises
        ``DataSetError``.

    Raises
    ------
    DataSetError
        If there is no such data set or split, files do not pair up, or sets cannot be joined.
    ResolutionError
        If um/px is missing or out of range.
    """
    data = _recognised(root, mpp)
    errors = [finding for finding in data.findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: see nuguide data check)" if errors[1:] else ""
        raise DataSetError(errors[0].text + more)
    entries = select(data, split, fold, folds)
    return Samples(entries if images is None else subset(entries, images))


def classes_of(root: Path | Sequence[Path], mpp: float | None = None) -> tuple[str, ...]:
    """Return the names of the classes of the data set in ``root``, or of several as one.

    Empty where there are none, or none are named; for ``mpp`` and what is raised see
    ``open_dataset``.
    """
    return _recognised(root, mpp).classes


def sources(
    root: Path | Sequence[Path], names: Collection[str], mpp: float | None = None
) -> list[tuple[DataSet, int]]:
    """Tell which of the data sets in ``root`` some of its samples are of, and how many of each.

    Parameters
    ----------
    root : Path or sequence of Path
        As for ``open_dataset``.
    names : collection of str
        Names of samples that it opens, each once.
    mpp : float or None
        As for ``open_dataset``.
    """
    sets = _each_recognised(root, mpp)
    counts = [
        sum(prefix + entry.name in names for entry in each.entries)
        for prefix, each in zip(prefixes(sets), sets, strict=True)
    ]
    return [(each, count) for each, count in zip(sets, counts, strict=True) if count]


def _recognised(root: Path | Sequence[Path], mpp: float | None = None) -> DataSet:
    return join(_each_recognised(root, mpp))


def _each_recognised(root: Path | Sequence[Path], mpp: float | None = None) -> list[DataSet]:
    roots = [root] if isinstance(root, Path) else root
    return [recognise(each, mpp) for each in roots]

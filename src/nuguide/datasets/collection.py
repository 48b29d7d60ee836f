"""A data set as found on disk: what is known of each image before it is decoded."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np

from nuguide.datasets.base import Sample
from nuguide.errors import DataSetError

Part = Literal["fit", "validation", "test"]
"""One side of a division; together ``fit`` and ``validation`` are the split ``train``."""


@dataclass(frozen=True)
class Entry:
    """An annotated image that has not been decoded.

    Attributes
    ----------
    name : str
        Unique within its data set.
    read : callable
        Decodes it; raises ``DataSetError`` if a file is missing, damaged or does not fit.
    part : str
        ``train``, ``validation`` (a committed part of train) or ``test`` where the data set says
        so, else empty.
    organ, patient, source : str
        As in ``Sample``.
    stratum : str
        What seeded rules balance over; empty: the organ.
    data_set : str
        Name of its data set among those that were joined; empty: there is one.
    """

    name: str
    read: Callable[[], Sample]
    part: Literal["train", "validation", "test", ""] = ""
    organ: str = ""
    patient: str = ""
    source: str = ""
    stratum: str = ""
    data_set: str = ""

    @property
    def group(self) -> str:
        """What must not be divided: the patient, else the slide, else the image."""
        return self.patient or self.source or self.name

    @property
    def layer(self) -> str:
        """What seeded rules balance over."""
        return self.stratum or self.organ


@dataclass(frozen=True)
class Finding:
    """Something wrong, or worth knowing, about one file.

    Attributes
    ----------
    severity : {"error", "warning"}
        An error makes the data set unusable.
    problem : str
        Its kind, in a few words.
    file : str
        File or image.
    text : str
        One line: what was got, what was expected, what to do.
    """

    severity: Literal["error", "warning"]
    problem: str
    file: str
    text: str


@dataclass(frozen=True)
class DataSet:
    """A data set whose layout was recognised.

    Attributes
    ----------
    name : str
        Short name, such as ``monuseg2018``.
    title, licence : str
        For a person to read.
    root : Path
        Its folder.
    entries : tuple of Entry
        All images, in a fixed order.
    findings : tuple of Finding
        What was wrong with the layout.
    classes : tuple of str
        Names of the classes 1, 2, ...; empty where there are none, or none are named.
    fold_counts : tuple of int
        Into how many folds it may be divided, the usual number first; empty: not at all.
    fold_rule : callable or None
        From entries and the number of folds to each entry's fold, from 0; None: the seeded,
        stratified rule of ``splits``.
    folds_by_default : bool
        Whether, without official parts, ``test`` means the first fold.
    """

    name: str
    title: str
    licence: str
    root: Path
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...] = ()
    classes: tuple[str, ...] = ()
    fold_counts: tuple[int, ...] = ()
    fold_rule: Callable[[Sequence[Entry], int], list[int]] | None = None
    folds_by_default: bool = False

    def __post_init__(self) -> None:
        places = (str(self.root), self.root.resolve().name)
        for name in (*places, *(entry.name for entry in self.entries)):
            # OpenCV crashes on a path that is none, and no record can hold it.
            if not _is_text(name):
                raise DataSetError(
                    f"{self.root} has the name {name!r}, which is no text in UTF-8; expected one "
                    "that is; rename it"
                )
        counts = Counter(entry.name for entry in self.entries)
        for name, count in counts.items():
            if count > 1:
                raise DataSetError(
                    f"{self.root} has {count} images named {name}; expected names of their own; "
                    "rename all but one"
                )


def _is_text(name: str) -> bool:
    """Tell whether a name has a form in UTF-8: bytes of another code are lone surrogates here."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Samples(Sequence[Sample]):
    """Samples that are decoded when they are asked for, each time anew, and not held."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(self.entries[index])
        return self.entries[index].read()


def digest(samples: Iterable[Sample]) -> str:
    """Return the sha256 of all that a training sees of ``samples``, and of their order.

    Names, pixels, instances, classes, ignore masks and um/px count; how files are packed does not.
    """
    total = hashlib.sha256()
    for sample in samples:
        add_to_digest(total, sample)
    return total.hexdigest()


def add_to_digest(total: "hashlib._Hash", sample: Sample) -> None:
    """Add one sample to a digest, for who goes through the samples only once; see ``digest``."""
    for text in (sample.name, repr(sample.mpp)):
        total.update(hashlib.sha256(text.encode()).digest())
    for values in (sample.image, sample.labels, sample.types, sample.ignore):
        if values is None:
            total.update(b"none")
            continue
        total.update(f"{values.dtype.str}{values.shape}".encode())
        total.update(np.ascontiguousarray(values).data)

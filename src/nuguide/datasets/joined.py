"""Several data sets as one: each keeps its own parts, so nothing is divided anew."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Entry, Part
from nuguide.datasets.splits import divide
from nuguide.errors import DataSetError

_OFFICIAL: dict[Part, Literal["train", "validation", "test"]] = {
    "fit": "train",
    "validation": "validation",
    "test": "test",
}


def join(sets: Sequence[DataSet]) -> DataSet:
    """Join data sets.

    Parameters
    ----------
    sets : sequence of DataSet
        Different ones. A single one is returned as it is.

    Returns
    -------
    DataSet
        Entries in the order of the sets, named ``<set>/<image>``; with the classes of the sets that
        have any where they are the same ones, else without.

    Raises
    ------
    DataSetError
        If a set is given twice.
    """
    if len(sets) == 1:
        return sets[0]
    for root, count in Counter(data.root.resolve() for data in sets).items():
        if count > 1:
            raise DataSetError(
                f"{root} is given {count} times; expected every data set once; name it once"
            )
    named = {data.classes for data in sets if data.classes}
    classes = named.pop() if len(named) == 1 else ()
    entries = [
        _renamed(
            entry,
            prefix,
            _OFFICIAL[part],
            keeps_types=bool(data.classes and classes),
        )
        for prefix, data in zip(prefixes(sets), sets, strict=True)
        for entry, part in zip(data.entries, divide(data), strict=True)
    ]
    return DataSet(
        name="+".join(_names(sets)),
        title=", ".join(data.title for data in sets),
        licence=", ".join(dict.fromkeys(data.licence or "not told" for data in sets)),
        root=sets[0].root,
        entries=tuple(entries),
        findings=tuple(finding for data in sets for finding in data.findings),
        classes=classes,
    )


def prefixes(sets: Sequence[DataSet]) -> list[str]:
    """Return what the names of each set's images begin with when the sets are joined."""
    return [""] if len(sets) == 1 else [f"{name}/" for name in _names(sets)]


def _names(sets: Sequence[DataSet]) -> list[str]:
    """Name each set by its kind, or by its folder where two are of a kind."""
    kinds = Counter(data.name for data in sets)
    names = [data.root.resolve().name if kinds[data.name] > 1 else data.name for data in sets]
    counts = Counter(names)
    return [
        f"{name}-{number}" if counts[name] > 1 else name for number, name in enumerate(names, 1)
    ]


def _renamed(
    entry: Entry, prefix: str, part: Literal["train", "validation", "test"], *, keeps_types: bool
) -> Entry:
    name = f"{prefix}{entry.name}"
    read = partial(_read, entry.read, name, keeps_types)
    # A patient may be in two sets; slides of one name in two folders are two slides.
    source = entry.source and f"{prefix}{entry.source}"
    data_set = prefix.removesuffix("/")
    return replace(entry, name=name, part=part, source=source, read=read, data_set=data_set)


def _read(read: Callable[[], Sample], name: str, keeps_types: bool) -> Sample:
    sample = read()
    return replace(sample, name=name, types=sample.types if keeps_types else None)

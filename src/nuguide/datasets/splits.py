"""Which image lies on which side: official parts, folds, validation, nested subsets.

Every rule keeps the images of one patient (or slide, where that is all that is known) together,
and draws by sha256 of a seed and a name, so that neither a library's version nor the order of files
changes a split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from nuguide.datasets.base import Split
from nuguide.datasets.collection import DataSet, Entry, Finding, Part
from nuguide.errors import DataSetError

VALIDATION_SHARE = 5
"""One image in so many of the training images is one of validation, where no list is committed."""

SEED = 19


def select(
    data: DataSet, split: Split, fold: int | None = None, folds: int | None = None
) -> list[Entry]:
    """List the entries of one split, in the data set's order.

    Parameters
    ----------
    data : DataSet
        The data set.
    split : Split
        Which part.
    fold : int or None
        Number, from 1, of the fold that is the test part. None: official parts, or the first
        fold of a data set whose custom is folds.
    folds : int or None
        How many folds; None: the data set's usual number.

    Raises
    ------
    DataSetError
        If the data set has no such fold or part, or a patient or slide has images in two parts;
        who wants ``all`` asks for no parts.
    """
    if split == "all" and fold is None:
        return list(data.entries)
    parts = divide(data, fold, folds)
    if split != "all" and (leak := next(on_two_sides(data.entries, parts), None)):
        raise DataSetError(leak.text)
    wanted = {
        "fit": {"fit"},
        "validation": {"validation"},
        "train": {"fit", "validation"},
        "test": {"test"},
        "all": {"fit", "validation", "test"},
    }[split]
    chosen = [entry for entry, part in zip(data.entries, parts, strict=True) if part in wanted]
    if not chosen:
        raise DataSetError(
            f"{data.root} ({data.title}, {len(data.entries)} images) has no image of the split "
            f"{split!r}; expected at least one; {_remedy(data, split)}"
        )
    return chosen


def _remedy(data: DataSet, split: Split) -> str:
    if split == "test" and data.fold_counts:
        return "give --split all, a fold, or a column split in index.csv"
    if split == "all":
        return "take the data set again"
    if split in ("fit", "validation"):  # a part is a whole patient or slide at least
        return "add images of another patient or slide, or name the parts in a column split"
    return "take the data set as a whole, or choose another --split"


def divide(data: DataSet, fold: int | None = None, folds: int | None = None) -> list[Part]:
    """Say for each entry on which side it lies; see ``select``.

    A test part is official or a fold. Validation is a committed list, or else one in
    ``VALIDATION_SHARE`` of the training images by the rule of ``stratified_folds``.
    """
    official = any(entry.part for entry in data.entries)
    if fold is not None or folds is not None or (data.folds_by_default and not official):
        sides = _by_fold(data, 1 if fold is None else fold, folds)
    else:
        sides = [entry.part or "train" for entry in data.entries]
    if "validation" not in sides:
        train = [i for i, side in enumerate(sides) if side == "train"]
        drawn = stratified_folds([data.entries[i] for i in train], VALIDATION_SHARE)
        for i, number in zip(train, drawn, strict=True):
            sides[i] = "validation" if number == 0 else "train"
    names: dict[str, Part] = {"train": "fit", "validation": "validation", "test": "test"}
    return [names[side] for side in sides]


def on_two_sides(entries: Sequence[Entry], parts: Sequence[Part]) -> Iterator[Finding]:
    """Name the patients and slides with images in two parts."""
    for what in ("patient", "slide"):
        sides: dict[str, set[Part]] = defaultdict(set)
        for entry, part in zip(entries, parts, strict=True):
            sides[entry.patient if what == "patient" else entry.source].add(part)
        for name, held in sides.items():
            if name and len(held) > 1:
                text = (
                    f"{what} {name} has images in {' and '.join(sorted(held))}; expected all on "
                    "one side; correct the split, or a name that two share"
                )
                yield Finding("error", f"{what} on two sides", name, text)


def _by_fold(data: DataSet, fold: int, folds: int | None) -> list[str]:
    if not data.fold_counts:
        raise DataSetError(
            f"{data.title} was asked for a fold; expected none, its parts are official; "
            "leave the fold out"
        )
    count = data.fold_counts[0] if folds is None else folds
    if count not in data.fold_counts or not 1 <= fold <= count:
        known = " or ".join(str(number) for number in data.fold_counts)
        raise DataSetError(
            f"{data.title} was asked for fold {fold} of {count}; expected a fold from 1, of "
            f"{known}; choose one of these"
        )
    numbers = (data.fold_rule or stratified_folds)(data.entries, count)
    return ["test" if number == fold - 1 else "train" for number in numbers]


def stratified_folds(entries: Sequence[Entry], count: int) -> list[int]:
    """Deal entries to ``count`` folds, from 0: by stratum, groups whole and in seeded order.

    Each group goes to the fold that has fewest images of its stratum, then fewest of all.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        groups[entry.group].append(i)
    strata = {group: min(entries[i].layer for i in members) for group, members in groups.items()}
    numbers = [0] * len(entries)
    sizes = [0] * count
    within: Counter[tuple[str, int]] = Counter()
    for group in sorted(groups, key=lambda group: (strata[group], _draw(group))):
        number = min(range(count), key=lambda n: (within[strata[group], n], sizes[n], n))
        for i in groups[group]:
            numbers[i] = number
        sizes[number] += len(groups[group])
        within[strata[group], number] += len(groups[group])
    return numbers


def subset(entries: Sequence[Entry], count: int, seed: int = SEED) -> list[Entry]:
    """Choose ``count`` entries, as many of each stratum as can be; 5 lie within 10 within all.

    Returns
    -------
    list of Entry
        In the order of ``entries``.

    Raises
    ------
    DataSetError
        If there are fewer.
    """
    if not 1 <= count <= len(entries):
        raise DataSetError(
            f"{count} images were asked for; expected from 1 to {len(entries)}, as many as the "
            "split has; choose another number"
        )
    rank: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for entry in sorted(entries, key=lambda entry: _draw(entry.name, seed)):
        rank[entry.name] = seen[entry.layer]
        seen[entry.layer] += 1
    order = sorted(entries, key=lambda entry: (rank[entry.name], _draw(entry.layer, seed)))
    chosen = {entry.name for entry in order[:count]}
    return [entry for entry in entries if entry.name in chosen]


def balanced(entries: Sequence[Entry], *, sets: bool = False) -> list[Entry]:
    """Repeat the entries of small strata, so that each counts about as much as the largest.

    Parameters
    ----------
    entries : sequence of Entry
        Of one data set, or of several that were joined.
    sets : bool
        Take the data sets for the strata.

    Returns
    -------
    list of Entry
        Every entry at least once, its copies behind it.
    """
    strata = [entry.data_set if sets else entry.layer for entry in entries]
    counts = Counter(strata)
    times = {stratum: round(max(counts.values()) / count) for stratum, count in counts.items()}
    return [e for e, stratum in zip(entries, strata, strict=True) for _ in range(times[stratum])]


def _draw(name: str, seed: int = SEED) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()

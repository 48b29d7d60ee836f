"""What a data set holds, and what is wrong with it, file by file."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_parts

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import DataSet, Finding, Part
from nuguide.datasets.report import ImageFacts, Report
from nuguide.datasets.splits import divide, on_two_sides
from nuguide.errors import DataSetError

SPECK_SHARE = 0.1
"""A piece of an instance smaller than this share of it is a speck: a slip, not a second nucleus."""

CLASSES_SHARE = 0.5
"""Where more of an image's instances than this are in pieces, the numbers are classes."""

DIAMETER_UM = (3.0, 20.0)
"""Where the median diameter of nuclei lies in any tissue, with room to spare; um."""


def check(data: DataSet, see: Callable[[Part, Sample], None] | None = None) -> Report:
    """Read every image once, count, and collect what is wrong.

    Parameters
    ----------
    data : DataSet
        From ``recognise``.
    see : callable or None
        Called with the side and the sample of every image that can be read.

    Returns
    -------
    Report
        Errors are what ``open_dataset`` would refuse, a patient or picture on two sides, and
        labels that are classes. The rest are warnings.
    """
    findings = list(data.findings)
    images: list[ImageFacts] = []
    for entry, part in zip(data.entries, divide(data), strict=True):
        try:
            sample = entry.read()
        except DataSetError as error:
            findings.append(Finding("error", "cannot be read", entry.name, str(error)))
            continue
        facts = _facts(sample, part, data.classes)
        images.append(facts)
        findings += _wrong_in_image(sample, facts)
        if see is not None:
            see(part, sample)
    findings += _wrong_in_whole(data, images)
    return Report(data, tuple(images), tuple(findings))


def _facts(sample: Sample, part: Part, classes: tuple[str, ...]) -> ImageFacts:
    numbers, areas = np.unique(sample.labels[sample.labels > 0], return_counts=True)
    diameters = 2 * np.sqrt(areas / np.pi) * sample.mpp
    height, width = sample.labels.shape
    size = hashlib.sha256(repr(sample.image.shape).encode())
    size.update(np.ascontiguousarray(sample.image).data)
    return ImageFacts(
        name=sample.name,
        organ=sample.organ,
        patient=sample.patient,
        part=part,
        height=height,
        width=width,
        mpp=sample.mpp,
        mpp_estimated=sample.mpp_estimated,
        nuclei=len(numbers),
        types=_count_types(sample, classes),
        ignored=0.0 if sample.ignore is None else float(sample.ignore.mean()),
        diameter_um=float(np.median(diameters)) if len(numbers) else float("nan"),
        pixels=size.hexdigest(),
    )


def _count_types(sample: Sample, classes: tuple[str, ...]) -> dict[str, int]:
    """Count instances by class: that of most of an instance's pixels."""
    if sample.types is None:
        return {}
    inside = sample.labels > 0
    numbers, index = np.unique(sample.labels[inside], return_inverse=True)
    votes = np.zeros((len(numbers), 256), np.int64)
    np.add.at(votes, (index, sample.types[inside]), 1)
    counts = Counter(votes.argmax(axis=1).tolist())
    return {_class_name(number, classes): counts[number] for number in sorted(counts)}


def _class_name(number: int, classes: tuple[str, ...]) -> str:
    if number == 0:
        return "no class"
    return classes[number - 1] if number <= len(classes) else f"class {number}"


def _wrong_in_image(sample: Sample, facts: ImageFacts) -> Iterator[Finding]:
    if facts.nuclei == 0:
        yield _warn("no nuclei", sample.name, "its mask is empty", "at least one nucleus")
        return
    # A label map of a single nucleus has one value too, and is sound.
    if sample.from_binary and facts.nuclei > 1:
        got = f"binary mask: touching nuclei become one; {facts.nuclei} pieces"
        yield _warn("binary mask", sample.name, got, "a number of its own for each nucleus")
    cut, specks = count_pieces(sample.labels)
    if facts.nuclei > 1 and cut > CLASSES_SHARE * facts.nuclei:
        text = (
            f"{sample.name}: {cut} of {facts.nuclei} instances lie in several pieces; expected a "
            "number of its own for each nucleus (are these numbers classes?); save instance maps"
        )
        yield Finding("error", "classes for instances", sample.name, text)
    elif cut:
        got = f"{cut} of {facts.nuclei} instances lie in several pieces"
        yield _warn("instances in pieces", sample.name, got, "one piece each")
    if specks:
        got = f"{specks} of {facts.nuclei} instances have a speck cut off"
        yield _warn("specks", sample.name, got, "one piece each")
    low, high = DIAMETER_UM
    if not low <= facts.diameter_um <= high:
        got = f"its nuclei are {facts.diameter_um:.1f} um across (median) at {facts.mpp:g} um/px"
        yield _warn("size of nuclei", sample.name, got, f"{low:g} to {high:g} um: check um/px")


def _warn(problem: str, name: str, got: str, expected: str) -> Finding:
    text = f"{name}: {got}; expected {expected}; look at it"
    return Finding("warning", problem, name, text)


def count_pieces(labels: NDArray[np.int32]) -> tuple[int, int]:
    """Count the instances that are cut in pieces.

    Pixels that meet at a corner are one piece.

    Returns
    -------
    cut : int
        Instances whose pieces beside the largest hold ``SPECK_SHARE`` of it or more.
    specks : int
        Instances whose pieces beside the largest hold less.
    """
    parts = connected_parts(labels, background=0, connectivity=2)
    sizes = np.bincount(parts.ravel())[1:]
    if not len(sizes):
        return 0, 0
    first = np.unique(parts, return_index=True)[1][-len(sizes) :]
    owner = np.unique(labels.ravel()[first], return_inverse=True)[1]
    total, largest = np.bincount(owner, sizes), np.zeros(owner.max() + 1)
    np.maximum.at(largest, owner, sizes)
    loose = (total - largest) / total
    return int((loose >= SPECK_SHARE).sum()), int(((loose > 0) & (loose < SPECK_SHARE)).sum())


def _wrong_in_whole(data: DataSet, images: list[ImageFacts]) -> Iterator[Finding]:
    yield from _duplicates(images)
    yield from on_two_sides(data.entries, divide(data))
    if not data.entries:
        text = f"{data.root} has no image with its mask; expected at least one; add some"
        yield Finding("error", "no images", data.root.name, text)
    elif not any(entry.patient for entry in data.entries):
        what = "no patient is named"
        if not any(entry.source for entry in data.entries):
            what += ", nor a slide"
        got = f"{what}, so parts that are drawn, and not official, may share one"
        yield _warn("patients unknown", data.name, got, "a patient for each image")
    if any(facts.mpp_estimated for facts in images):
        got = "its um/px is an estimate"
        yield _warn("um/px estimated", data.name, got, "a record; --mpp goes before the estimate")


def _duplicates(images: list[ImageFacts]) -> Iterator[Finding]:
    same: dict[str, list[ImageFacts]] = defaultdict(list)
    for facts in images:
        same[facts.pixels].append(facts)
    for first, *others in same.values():
        for other in others:
            apart = first.part != other.part
            where = f", one of {first.part} and one of {other.part}" if apart else ""
            text = (
                f"{other.name} has the same pixels as {first.name}{where}; expected every image "
                "once; remove one"
            )
            yield Finding("error" if apart else "warning", "duplicate", other.name, text)


def contact_names(data: DataSet, most: int) -> set[str]:
    """Choose up to ``most`` images for a contact sheet, spread evenly over parts and organs."""
    parts = divide(data)
    order = sorted(
        range(len(data.entries)),
        key=lambda i: (parts[i], data.entries[i].layer, data.entries[i].name),
    )
    count = min(most, len(order))
    return {data.entries[order[i * len(order) // count]].name for i in range(count)}

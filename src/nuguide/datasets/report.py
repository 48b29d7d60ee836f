"""What was counted and found in a data set, for a person or a program to read."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nuguide.datasets.collection import DataSet, Finding, Part
from nuguide.datasets.splits import VALIDATION_SHARE

_PARTS: tuple[Part, ...] = ("fit", "validation", "test")


@dataclass(frozen=True)
class ImageFacts:
    """What was counted in one image.

    Attributes
    ----------
    name, organ, patient : str
        As in ``Sample``.
    part : Part
        The side it lies on.
    height, width : int
        Px.
    mpp : float
        um/px.
    mpp_estimated : bool
        Whether that is an estimate.
    nuclei : int
        Instances.
    types : dict of str to int
        Instances by the name of their class; empty without classes.
    ignored : float
        Share of the image that is ambiguous.
    diameter_um : float
        Median diameter of a disc of an instance's area, um; nan without instances.
    pixels : str
        sha256 of the image's size and pixels.
    """

    name: str
    organ: str
    patient: str
    part: Part
    height: int
    width: int
    mpp: float
    mpp_estimated: bool
    nuclei: int
    types: dict[str, int]
    ignored: float
    diameter_um: float
    pixels: str


@dataclass(frozen=True)
class Report:
    """The outcome of ``check``: the data set, its readable images and all findings."""

    data: DataSet
    images: tuple[ImageFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether nothing worse than a warning was found."""
        return all(finding.severity != "error" for finding in self.findings)

    def counts(self, by: Literal["part", "organ", "type"]) -> dict[str, tuple[int, int]]:
        """Return images and nuclei of each part, organ or class, by name."""
        counts: dict[str, tuple[int, int]] = {}
        for facts in self.images:
            names = {"part": facts.part, "organ": facts.organ or "not told"}
            held = facts.types if by == "type" else {names[by]: facts.nuclei}
            for name, nuclei in held.items():
                images, others = counts.get(name, (0, 0))
                counts[name] = (images + 1, others + nuclei)
        order = _PARTS if by == "part" else tuple(sorted(counts))
        if by == "type":
            order = (*self.data.classes, *(name for name in order if name not in self.data.classes))
        return {name: counts[name] for name in order if name in counts}

    def facts(self) -> dict[str, str]:
        """Word what the data set is, for a person."""
        sizes = Counter(f"{facts.height} x {facts.width}" for facts in self.images)
        common = ", ".join(f"{size} ({count})" for size, count in sizes.most_common(3))
        scales = sorted({facts.mpp for facts in self.images})
        estimated = any(facts.mpp_estimated for facts in self.images)
        told = {
            "data set": self.data.title,
            "licence": self.data.licence or "not told",
            "um/px": _span(scales) + (" (an estimate)" if estimated else ""),
            "size, px": common + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""),
            "patients": str(len({facts.patient for facts in self.images} - {""}) or "not told"),
            "division": self._division(),
        }
        areas = [facts.ignored for facts in self.images if facts.ignored]
        if areas:
            told["ambiguous"] = f"{np.mean(areas):.1%} of {len(areas)} images"
        return told

    def _division(self) -> str:
        if any(entry.part for entry in self.data.entries):
            return "official parts; validation is a part of train"
        folds = " or ".join(map(str, self.data.fold_counts))
        if self.data.folds_by_default:
            return f"{folds} folds; shown with fold 1 of {self.data.fold_counts[0]} as test"
        return f"all train, of which one in {VALIDATION_SHARE} is validation; or {folds} folds"


def _span(scales: list[float]) -> str:
    """Word a few scales one by one, more by their ends."""
    if len(scales) > 3:
        return f"{scales[0]:g} to {scales[-1]:g}"
    return ", ".join(f"{scale:g}" for scale in scales)

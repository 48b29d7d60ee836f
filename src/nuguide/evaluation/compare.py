"""Which of two models is better: the paired difference by image, with its interval."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from nuguide import __version__
from nuguide.errors import InputError
from nuguide.evaluation.intervals import Interval, paired_difference
from nuguide.evaluation.record import ORIGINS, Scores
from nuguide.files import replacing

FEWEST_UNITS = 6
"""Fewer say nothing: five fall on one side of 0 by chance in one case of sixteen."""


@dataclass(frozen=True)
class Difference:
    """One score of two models on the same images; higher is better for every score.

    Attributes
    ----------
    reference, other : float
        The means.
    interval : Interval
        Of the mean of other minus reference, image by image.
    n_units : int
        How many images, patients or slides were drawn for it.
    """

    reference: float
    other: float
    interval: Interval
    n_units: int

    @property
    def reading(self) -> str:
        """``higher``, ``lower`` or ``not told apart`` by the interval; or ``too few images``."""
        if self.n_units < FEWEST_UNITS:
            return "too few images"
        if self.interval.low > 0:
            return "higher"
        return "lower" if self.interval.high < 0 else "not told apart"


@dataclass(frozen=True)
class Comparison:
    """Several models against the first of them.

    Attributes
    ----------
    scores : tuple of Scores
        The reference first.
    names : tuple of str
        What each is called here; no two alike.
    differences : tuple of dict of str to Difference
        One for each model but the first, by score.
    """

    scores: tuple[Scores, ...]
    names: tuple[str, ...]
    differences: tuple[dict[str, Difference], ...]

    @property
    def reference(self) -> Scores:
        """What the others are compared to."""
        return self.scores[0]


def compare(scores: Sequence[Scores], sources: Sequence[str]) -> Comparison:
    """Compare models with the first one, image by image.

    What is pooled over the images (counts, sizes, types) has no value of an image, and is left out.

    Parameters
    ----------
    scores : sequence of Scores
        Two or more, on the same images under one protocol.
    sources : sequence of str
        Where each came from, for messages, and for its name where two models share theirs.

    Raises
    ------
    InputError
        If there are fewer than two, one is given twice, or one was made on other data, another
        split, protocol or set of images; the message says which.
    """
    if len(scores) < 2:
        raise InputError(
            f"{len(scores)} file of scores is given; expected two or more; name the files to "
            "compare with the first"
        )
    for source in sources:
        if sources.count(source) > 1:
            raise InputError(f"{source} is given twice; expected each file once; leave one out")
    reference = scores[0]
    for other, source in zip(scores[1:], sources[1:], strict=True):
        _check_comparable(reference, other, sources[0], source)
    models = tuple(each.model for each in scores)
    names = models if len(set(models)) == len(models) else _told_apart(models, sources)
    return Comparison(
        tuple(scores), names, tuple(_differences(reference, other) for other in scores[1:])
    )


def _told_apart(models: Sequence[str], sources: Sequence[str]) -> tuple[str, ...]:
    stems = [Path(source).stem for source in sources]
    places = stems if len(set(stems)) == len(stems) else sources
    return tuple(f"{model} ({place})" for model, place in zip(models, places, strict=True))


def _check_comparable(reference: Scores, other: Scores, first: str, second: str) -> None:
    """Raise ``InputError`` unless both were made on the same images by the same rules."""
    advice = "score both models on the same data, split and protocol"
    for what in ("protocol", "split"):
        here, there = getattr(other, what), getattr(reference, what)
        if here != there:
            raise InputError(
                f"{second} is of {what} {here!r}; expected {there!r} as in {first}; {advice}"
            )
    names, expected = ({image.name for image in each.images} for each in (other, reference))
    if names != expected:
        odd = sorted(names ^ expected)[0]
        raise InputError(
            f"{second} holds {len(names)} images of {other.data} and {first} {len(expected)} of "
            f"{reference.data}, {odd!r} in only one of them; expected the same images; {advice}"
        )
    if other.data_sha256 != reference.data_sha256:
        raise InputError(
            f"{second} was scored on {other.data} with other pixels or annotations than {first} "
            f"on {reference.data}, though the images are called alike; expected the same data; "
            f"{advice}"
        )


def _differences(reference: Scores, other: Scores) -> dict[str, Difference]:
    by_name = {image.name: image.scores for image in other.images}
    found = {}
    for name in reference.images[0].scores:
        if name not in other.images[0].scores:
            continue
        mine = np.array([image.scores[name] for image in reference.images])
        theirs = np.array([by_name[image.name][name] for image in reference.images])
        interval = paired_difference(theirs, mine, origins=reference.origins)
        found[name] = Difference(
            float(mine.mean()), float(theirs.mean()), interval, reference.n_units
        )
    return found


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return one table for each model but the first."""
    first = comparison.names[0]
    tables = []
    for name, differences in zip(comparison.names[1:], comparison.differences, strict=True):
        table = Table(box=None, pad_edge=False, title=f"{name} minus {first}", title_justify="left")
        table.add_column("score", no_wrap=True)
        # Where a terminal is narrow, words wrap; numbers stay whole.
        for heading in (first, name, "difference"):
            table.add_column(heading, justify="right", overflow="fold")
        table.add_column("95 % interval", justify="right", no_wrap=True)
        table.add_column(f"{name} is", overflow="fold")
        for score, row in differences.items():
            span = f"{row.interval.low:+.3f} to {row.interval.high:+.3f}"
            means = (f"{row.reference:.3f}", f"{row.other:.3f}", f"{row.interval.mean:+.3f}")
            table.add_row(score, *means, span, row.reading)
        tables.append(table)
    return tables


def reading_line(comparison: Comparison) -> str:
    """Return one line: what the intervals are over, and what they do not say."""
    reference = comparison.reference
    n = len(reference.images)
    drawn = f"{n} images" if reference.unit == "image" else f"{reference.n_units} {ORIGINS}"
    return (
        f"Paired by image (n = {n}), bootstrap over {drawn}: higher or lower where the 95 % "
        "interval lies on one side of 0. It tells how far other images of this kind could move "
        "the difference; not what another seed of training would do, and each score is read by "
        "itself."
    )


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the comparison as JSON, in the form that docs/evaluation.md describes.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    reference = comparison.reference
    content = {
        "reference": comparison.names[0],
        "others": [
            {
                "name": name,
                "differences": {
                    score: {
                        "reference": row.reference,
                        "other": row.other,
                        "difference": asdict(row.interval),
                        "reading": row.reading,
                        "definition": reference.summaries[score].definition,
                    }
                    for score, row in differences.items()
                },
            }
            for name, differences in zip(comparison.names[1:], comparison.differences, strict=True)
        ],
        "data": reference.data,
        "data_sha256": reference.data_sha256,
        "split": reference.split,
        "protocol": reference.protocol,
        "unit": reference.unit,
        "n_units": reference.n_units,
        "nuguide": __version__,
    }
    with replacing(path, "name another file with --json") as aside:
        aside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")

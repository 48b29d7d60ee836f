"""Counts of slides for whoever reads them: one by one and together, as a table and as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from math import ceil
from pathlib import Path

from rich.table import Table

from nuguide.errors import InputError
from nuguide.evaluation.counting import Slide, kinds_of, told_by_runs, uncorrected
from nuguide.evaluation.points import ALL
from nuguide.evaluation.sampling import (
    LEAST_FOR_RATIO,
    Estimate,
    Stratum,
    estimated_share,
    estimated_total,
    fields_for,
    total_of_fields_alone,
)
from nuguide.files import replacing

_AIMS = (0.1, 0.05)
"""Half the width of an interval, over the total, that people ask for."""

TOGETHER = "all"
"""What stands in place of a slide's name where all slides are meant."""


@dataclass(frozen=True)
class Count:
    """Nuclei of a kind on a slide, or on all slides together.

    Attributes
    ----------
    name : str
        Of the slide, or ``TOGETHER``.
    kind : str
        ``nuclei``, ``Positive`` or a type.
    fields, squares : int
        Annotated, and the squares that they were drawn from.
    tissue_mm2 : float
        Area of tissue in these squares, mm2.
    found : int or None
        By the run, in all squares; None where it does not tell the kind.
    found_in_fields : int or None
        By the run, in the fields.
    annotated : int
        By the person, in the fields.
    total : Estimate
        Of nuclei in all squares, by the run and the fields.
    fields_alone : Estimate
        Of the same, as if there were no run.
    share : Estimate
        Of the kind in all nuclei, 0 to 1.
    """

    name: str
    kind: str
    fields: int
    squares: int
    tissue_mm2: float
    found: int | None
    found_in_fields: int | None
    annotated: int
    total: Estimate
    fields_alone: Estimate
    share: Estimate

    @property
    def worth(self) -> float:
        """How many times as many fields would be needed without the run, about; inf if any are."""
        if self.total.variance > 0:
            return self.fields_alone.variance / self.total.variance
        return float("inf")


def counts_of(slides: Sequence[Slide]) -> list[Count]:
    """Estimate the nuclei of each kind, of each slide and of all together.

    Raises
    ------
    InputError
        If a slide has a single field of several squares, which tells nothing of how they differ.
    DataSetError
        If some annotated nuclei tell what others do not.
    """
    kinds = kinds_of(slides)
    told = [told_by_runs(slides, kind) for kind in kinds]
    strata = [slide.stratum(kinds) for slide in slides]
    for slide, stratum in zip(slides, strata, strict=True):
        if stratum.fields < min(2, stratum.squares):
            raise InputError(
                f"{slide.name} has {stratum.fields} field of {stratum.squares:,} squares; expected "
                "two at least, since one tells nothing of how they differ; draw more with nuguide "
                "fields -n N --add"
            )
    groups = [([slide], [stratum]) for slide, stratum in zip(slides, strata, strict=True)]
    if len(slides) > 1:
        groups.append((list(slides), strata))
    return [
        _count(members, parts, number, kind, told[number])
        for number, kind in enumerate(kinds)
        for members, parts in groups
    ]


def _count(
    slides: Sequence[Slide], strata: Sequence[Stratum], number: int, kind: str, told: bool
) -> Count:
    return Count(
        name=slides[0].name if len(slides) == 1 else TOGETHER,
        kind=kind,
        fields=sum(each.fields for each in strata),
        squares=sum(each.squares for each in strata),
        tissue_mm2=sum(slide.frame.tissue_mm2 for slide in slides),
        found=round(sum(each.everywhere[number] for each in strata)) if told else None,
        found_in_fields=round(sum(each.found[:, number].sum() for each in strata))
        if told
        else None,
        annotated=round(sum(each.annotated[:, number].sum() for each in strata)),
        total=estimated_total(strata, number, told=told),
        fields_alone=total_of_fields_alone(strata, number),
        share=estimated_share(strata, number, told=told),
    )


def total_table(counts: Sequence[Count]) -> Table:
    """Return a table of all nuclei, a row for each slide."""
    table = _table("slide", "fields", "found / annotated", "found", "estimated", "95 % interval")
    for each in counts:
        if each.kind == ALL:
            table.add_row(
                each.name,
                f"{each.fields:,} of {each.squares:,}",
                f"{each.found_in_fields:,} / {each.annotated:,}",
                f"{each.found:,}",
                f"{each.total.value:,.0f}",
                _between(*(f"{end:,.0f}" for end in (each.total.low, each.total.high))),
            )
    return table


def rate_table(counts: Sequence[Count]) -> Table:
    """Return a table of nuclei per mm2, and of the share of each kind that was told apart."""
    table = _table("slide", "", "found", "estimated", "95 % interval")
    whole = [each for each in counts if each.kind == ALL]
    for each in whole:
        scale = 1 / each.tissue_mm2 if each.tissue_mm2 else float("nan")
        values = (each.found or 0, each.total.value, each.total.low, each.total.high)
        found, value, low, high = (f"{number * scale:,.0f}" for number in values)
        table.add_row(each.name, "nuclei per mm2", found, value, _between(low, high))
    # Each kind has a row for each slide, in the same order: two may be called alike.
    for each, of_all in zip(counts, cycle(whole), strict=False):
        if each.kind != ALL:
            found = _percent(_over(each.found, of_all.found))
            value, low, high = map(_percent, (each.share.value, each.share.low, each.share.high))
            label = f"{each.kind}, % of nuclei"
            table.add_row(each.name, label, found, value, _between(low, high))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        words = heading in ("slide", "")
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    return table


def _over(part: int | None, whole: int | None) -> float:
    return part / whole if part is not None and whole else float("nan")


def _percent(share: float) -> str:
    return "-" if share != share else f"{100 * share:.1f}"


def _between(low: str, high: str) -> str:
    """Return an interval in words; a dash where there is none."""
    return "-" if {low, high} & {"nan", "-"} else f"{low} to {high}"


def reading_lines(slides: Sequence[Slide], counts: Sequence[Count]) -> list[str]:
    """Return what a reader of the tables must know, a line each."""
    whole = [each for each in counts if each.kind == ALL]
    lines = [
        "found / annotated: in the fields; found, estimated: in all squares that they were drawn "
        "from; per mm2: of the tissue in these",
        "estimated: found, times annotated over found in the fields, where these count for the "
        "squares that they stand for; a nucleus lies where its centroid does",
    ]
    if few := [each.name for each in whole if (each.found_in_fields or 0) < LEAST_FOR_RATIO]:
        lines.append(
            f"of {_named(few)}, with fewer than {LEAST_FOR_RATIO} found in the fields, estimated "
            "is found, and what the fields hold beyond it"
        )
    if any(each.total.low != each.total.low or each.share.low != each.share.low for each in counts):
        lines.append(
            "-: fields that do not differ from each other give no interval; more of them may do"
        )
    last = whole[-1]
    more = (_worth(last), _wanted(last, len(slides)), _beyond(slides, last), _doubt(slides))
    return [*lines, *chain(*more)]


def _worth(whole: Count) -> list[str]:
    """Say what the fields alone would tell, where something is to be said."""
    alone = whole.fields_alone
    if not (whole.total.variance > 0 and alone.variance > 0):
        return []
    return [
        f"by the fields alone: {alone.value:,.0f}, {alone.low:,.0f} to {alone.high:,.0f}; to "
        f"be as sure without the run, about {whole.worth:.1f} times as many would be needed"
    ]


def _wanted(whole: Count, slides: int) -> list[str]:
    """Say about how many fields would make the total surer, if they were like those there are."""
    total, n = whole.total, whole.fields
    now = (total.high - total.value) / total.value if total.value else float("nan")
    told = []
    for aim in (each for each in _AIMS if each < now):
        needed = fields_for(total, n, whole.squares, aim)
        a_slide = f" ({ceil(needed / slides):,} a slide)" if slides > 1 else ""
        told.append(f"± {100 * aim:.0f} % takes about {needed:,}{a_slide}")
    if not told:
        return []
    return [
        f"for {whole.name}: ± {100 * now:.0f} % by {n:,} fields; {', '.join(told)}: nuguide fields "
        "SLIDES -o ANNOTATIONS -n N --add, where N is for a slide"
    ]


def _beyond(slides: Sequence[Slide], whole: Count) -> list[str]:
    """Say what was found outside of all squares, if anything was."""
    beyond = sum(slide.found.outside for slide in slides)
    if not (beyond and whole.found):
        return []
    ratio = 1 + beyond / whole.found
    ends = (whole.total.value, whole.total.low, whole.total.high)
    value, *between = (f"{end * ratio:,.0f}" for end in ends)
    return [
        f"the run found {beyond:,} nuclei outside of these squares, where the image, tissue or the "
        "area that fields were drawn in ends, of which no field tells; if it errs there alike, "
        f"there are {value} (95 % interval: {_between(*between)})"
    ]


def _doubt(slides: Sequence[Slide]) -> list[str]:
    """Warn of slides that nobody seems to have corrected."""
    same = uncorrected(slides)
    if not same:
        return []
    of = "" if len(same) == len(slides) else f" of {_named(same)}"
    return [
        f"warning: every field{of} holds just as many nuclei as were found in it; this says "
        "something only if somebody has corrected them"
    ]


def _named(names: Sequence[str]) -> str:
    """List names, of many the first."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


def write_counts(counts: Sequence[Count], path: Path) -> None:
    """Write all counts as CSV, a row for each kind and slide; what is not known is empty.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    rows = [_row(each) for each in counts]
    with (
        replacing(path) as aside,
        # A lone surrogate out of a file's name has no form in UTF-8.
        aside.open("w", newline="", encoding="utf-8", errors="replace") as file,
    ):
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _row(count: Count) -> dict[str, object]:
    per_mm2 = 1 / count.tissue_mm2 if count.tissue_mm2 else float("nan")
    return {
        "image": count.name,
        "kind": count.kind,
        "fields": count.fields,
        "squares": count.squares,
        "tissue_mm2": round(count.tissue_mm2, 6),
        "found": "" if count.found is None else count.found,
        "found_in_fields": "" if count.found_in_fields is None else count.found_in_fields,
        "annotated_in_fields": count.annotated,
        **_columns("estimated", count.total, 1, 1),
        **_columns("estimated_per_mm2", count.total, per_mm2, 2),
        **_columns("percent_of_nuclei", count.share, 100, 3),
        **_columns("by_fields_alone", count.fields_alone, 1, 1),
    }


def _columns(name: str, estimate: Estimate, scale: float, digits: int) -> dict[str, object]:
    values = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {
        f"{name}{end}": "" if value != value or scale != scale else round(value * scale, digits)
        for end, value in values.items()
    }

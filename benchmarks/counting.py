"""How far off is a count that a few annotated fields correct? Makes the table of docs/results.md.

    python benchmarks/counting.py --data MoNuSeg2018 --data CoNSeP

takes the test images of each set as one slide of squares of 50 um, of which all are annotated, and
draws some of them again and again, as `nuguide fields` does; what `nuguide count` then says of the
slide is compared with the truth. Without --data it writes the table alone.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import CONSEP, MONUSEG, Tissue
from numpy.typing import NDArray
from pages import README, as_table, with_table
from scipy import ndimage

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import classes_of, open_dataset, recognise
from nuguide.evaluation.sampling import (
    Estimate,
    Stratum,
    estimated_share,
    estimated_total,
    fields_for,
    total_of_fields_alone,
)
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.segmentation.engine import on_device
from nuguide.segmentation.run import segment_array

RESULTS = README.parent / "docs/results/counting.json"
PAGE = README.parent / "docs/results.md"
MODELS = {MONUSEG: ("default",), CONSEP: ("default", "broad")}
"""Of images, those that count them; broad tells types, too."""
SIDE_UM = 50.0
FIELDS = (5, 10, 20)
DRAWS = 4000
FIRST, AIM = (5, 10), 0.1
"""Fields to begin with, and half of the interval, over the total, that others are drawn for."""

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Slide:
    """A slide of which every square is annotated.

    Attributes
    ----------
    true, found : ndarray
        (N, k) counts in its squares, of all nuclei and of each type.
    """

    true: Counts
    found: Counts

    def drawn(self, fields: int, random: np.random.Generator) -> Stratum:
        """Draw fields."""
        return self._of(random.choice(len(self.true), fields, replace=False))

    def drawn_on(self, fields: int, random: np.random.Generator) -> Stratum:
        """Draw fields, and then as many as these say that it takes."""
        order = random.permutation(len(self.true))
        first = estimated_total([self._of(order[:fields])])
        if not first.variance or (first.high - first.value) / first.value <= AIM:
            return self._of(order[:fields])
        return self._of(order[: fields_for(first, fields, len(order), AIM)])

    def _of(self, picked: NDArray[np.int64]) -> Stratum:
        return Stratum(
            len(self.true), self.found.sum(axis=0), self.found[picked], self.true[picked]
        )


def main() -> None:
    """Draw where asked, then bring the table up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    for data in parser.parse_args().data:
        (tissue,) = (each for each in MODELS if each.name == recognise(data).name)
        rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
        kept = [row for row in rows if row["images"] != tissue.title]
        RESULTS.write_text(
            json.dumps(
                kept + [row for name in MODELS[tissue] for row in rows_of(tissue, data, name)],
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(text, json.loads(RESULTS.read_text())), encoding="utf-8")
    print(PAGE)


def rows_of(tissue: Tissue, data: Path, name: str) -> list[dict[str, Any]]:
    """Draw fields of a set of images, a row for each number of them and each kind of nuclei."""
    model = on_device(load(name), "cpu")
    samples = list(open_dataset(data, tissue.split))
    names = classes_of(data) if model.card.types else ()
    counted = [_counted(sample, model, names) for sample in samples]
    slide = Slide(*(np.concatenate([each[i] for each in counted]) for i in range(2)))
    told = {
        "images": tissue.title,
        "n_images": len(samples),
        "model": name,
        "model_sha256": model.card.sha256,
    }
    kinds = ["nuclei", *(kind for kind in names if kind != "miscellaneous")]
    told |= {"squares": len(slide.true)}
    return [
        told | {"fields": n, "kind": kind} | of_draws(slide, column, n)
        for kind in kinds
        for n in FIELDS
        for column in [1 + names.index(kind) if kind in names else 0]
    ] + [told | {"first": n, "aim": AIM, "kind": "nuclei"} | in_two_steps(slide, n) for n in FIRST]


def of_draws(slide: Slide, column: int, fields: int) -> dict[str, float]:
    """Return how far off estimates are, and how often their intervals hold the truth."""
    random = np.random.default_rng(0)
    strata = [slide.drawn(fields, random) for _ in range(DRAWS)]
    if column:
        truth = slide.true[:, column].sum() / slide.true[:, 0].sum()
        found = slide.found[:, column].sum() / slide.found[:, 0].sum()
        # As if the model told no type: then the fields alone tell it.
        alone = [estimated_share([each], column, told=False) for each in strata]
        both = [estimated_share([each], column) for each in strata]
    else:
        truth, found = slide.true[:, 0].sum(), slide.found[:, 0].sum()
        alone = [total_of_fields_alone([each]) for each in strata]
        both = [estimated_total([each]) for each in strata]
    return {
        "true": round(float(truth), 4),
        "found": round(float(found), 4),
        **_spread("fields_alone", alone, truth),
        **_spread("both", both, truth),
    }


def in_two_steps(slide: Slide, first: int) -> dict[str, float]:
    """Return the same of fields of which the first say how many there are to be."""
    random = np.random.default_rng(0)
    strata = [slide.drawn_on(first, random) for _ in range(DRAWS)]
    truth = slide.true[:, 0].sum()
    return {
        "true": round(float(truth), 4),
        "found": round(float(slide.found[:, 0].sum()), 4),
        "fields": round(float(np.mean([each.fields for each in strata])), 1),
        **_spread("fields_alone", [total_of_fields_alone([each]) for each in strata], truth),
        **_spread("both", [estimated_total([each]) for each in strata], truth),
    }


def _spread(name: str, estimates: list[Estimate], truth: float) -> dict[str, float]:
    value, low, high = np.array([(e.value, e.low, e.high) for e in estimates]).T
    told = ~np.isnan(low)  # fields that do not differ give no interval
    covered = (low <= truth) & (truth <= high)
    return {
        f"{name}_bias": round(float(value.mean() / truth - 1), 4),
        f"{name}_rms_error": round(float(((value / truth - 1) ** 2).mean() ** 0.5), 4),
        f"{name}_half_width": round(float(np.median((high - low)[told])) / 2 / truth, 4),
        f"{name}_coverage": round(float(covered[told].mean()), 4),
    }


def _counted(sample: Sample, model: Model, names: Sequence[str]) -> tuple[Counts, Counts]:
    """Count in each square of an image: the true nuclei, and those that a model finds."""
    grid = np.floor(np.array(sample.labels.shape) * sample.mpp / SIDE_UM + 1e-6).astype(int)
    nuclei = np.unique(sample.labels[sample.labels > 0])
    middles = np.array(ndimage.center_of_mass(sample.labels > 0, sample.labels, nuclei))
    types = np.zeros(len(nuclei), int)
    if names and sample.types is not None:
        types = np.asarray(ndimage.maximum(sample.types, sample.labels, nuclei), int)
    found = segment_array(sample.image, sample.mpp, model).nuclei
    places = np.stack([found[f"centroid_{axis}_um"].to_numpy() for axis in "yx"], axis=1)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    told = np.array([numbers.get(name, 0) for name in found["type"].to_pylist()], int)
    true_um = (middles + 0.5) * sample.mpp
    return _in_squares(true_um, types, grid, len(names)), _in_squares(
        places, told, grid, len(names)
    )


def _in_squares(
    places_um: NDArray[np.float64], types: NDArray[np.int64], grid: NDArray[np.int64], n: int
) -> Counts:
    cell = np.floor(places_um / SIDE_UM).astype(int)
    inside = ((cell >= 0) & (cell < grid)).all(axis=1)
    square = cell @ np.array([grid[1], 1])
    members = [inside, *(inside & (types == number) for number in range(1, n + 1))]
    counts = [np.bincount(square[each], minlength=int(grid.prod())) for each in members]
    return np.stack(counts, axis=1).astype(np.float64)


def updated(text: str, rows: list[dict[str, Any]]) -> str:
    """Return the page's text with the table of these results."""
    lines = [
        [
            "",
            "fields",
            "the model alone",
            "fields alone: rms error",
            "both: rms error",
            "both: mean error",
            "half of the interval: fields alone, both",
            "intervals that hold the truth: fields alone, both",
        ]
    ]
    for row in rows:
        share = row["kind"] != "nuclei"
        kind = f"share of {row['kind']}" if share else "number of nuclei"
        lines.append(
            [
                f"{row['images']}, `{row['model']}`: {kind}",
                _fields_in_words(row),
                f"{100 * (row['found'] / row['true'] - 1):+.0f} %",
                f"{100 * row['fields_alone_rms_error']:.0f} %",
                f"{100 * row['both_rms_error']:.0f} %",
                f"{100 * row['both_bias']:+.1f} %",
                f"{100 * row['fields_alone_half_width']:.0f}, {100 * row['both_half_width']:.0f} %",
                f"{100 * row['fields_alone_coverage']:.0f}, {100 * row['both_coverage']:.0f} %",
            ]
        )
    return with_table(text, as_table(lines), "counting", "counting.py")


def _fields_in_words(row: dict[str, Any]) -> str:
    if "first" not in row:
        return str(row["fields"])
    return f"{row['first']}, then for ± {100 * row['aim']:.0f} %: {row['fields']:.0f} on average"


if __name__ == "__main__":
    main()

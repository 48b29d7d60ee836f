"""How much worse is a model on images that are worse, or whose um/px are told wrongly?

    python benchmarks/robustness.py MODEL DATA[:SPLIT] [DATA[:SPLIT] ...] --json F
    python benchmarks/robustness.py --page

Every image is spoilt in one way at a time at its own resolution, and scored against its own
annotation; differences to the image as it is are paired by image. The second form makes the table
and the figure of docs/results.md of the committed JSON.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from accuracy import TABLED
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pages import README, as_table, with_table
from paired import SHOWN, paired_rows

from nuguide.datasets.opening import open_dataset, recognise
from nuguide.evaluation.evaluate import evaluate
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.segmentation.run import segment_array

Rgb = NDArray[np.uint8]
Spoil = Callable[[Rgb, float], tuple[Rgb, float]]
"""An image and its um/px -> the image and the um/px that are given to the model."""

PAGE = README.parent / "docs/results.md"
RESULTS = README.parent / "docs/results/robustness.json"
FIGURE = README.parent / "docs/results/robustness.svg"
SEED = 0
AS_IT_IS = "as it is"


def packed(rgb: Rgb, mpp: float, quality: int) -> tuple[Rgb, float]:
    """Pack as JPEG, colours at half the resolution as scanners do."""
    asked = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    ]
    _, content = cv2.imencode(".jpg", rgb[..., ::-1], asked)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8), mpp


def blurred(rgb: Rgb, mpp: float, sigma_um: float) -> tuple[Rgb, float]:
    """Blur by a Gaussian, as if out of focus."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_um / mpp), np.uint8), mpp


def noisy(rgb: Rgb, mpp: float, deviation: float) -> tuple[Rgb, float]:
    """Add Gaussian noise to each channel of each pixel, of so many of 255."""
    noise = np.random.default_rng(SEED).normal(0, deviation, rgb.shape)
    return _as_rgb(rgb + noise), mpp


def stained(rgb: Rgb, mpp: float, factor: float) -> tuple[Rgb, float]:
    """Multiply the optical density: a section cut thicker or thinner, or stained for longer."""
    return _as_rgb(256 * ((rgb + 1.0) / 256) ** factor - 1), mpp


def balanced(rgb: Rgb, mpp: float, red: float) -> tuple[Rgb, float]:
    """Multiply red and divide blue: a scanner whose white is not white."""
    return _as_rgb(rgb * np.array([red, 1.0, 1 / red])), mpp


def grey(rgb: Rgb, mpp: float) -> tuple[Rgb, float]:
    """Take the colours out."""
    return np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2), mpp


def mistold(rgb: Rgb, mpp: float, factor: float) -> tuple[Rgb, float]:
    """Tell the um/px wrongly."""
    return rgb, mpp * factor


def scanned(rgb: Rgb, mpp: float, coarse: float) -> tuple[Rgb, float]:
    """Scan with a weaker objective, at so many um/px, which are told."""
    if coarse <= mpp:
        return rgb, mpp
    size = [max(1, round(length * mpp / coarse)) for length in rgb.shape[1::-1]]
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8), coarse


def _as_rgb(values: NDArray[np.float64]) -> Rgb:
    return np.clip(values.round(), 0, 255).astype(np.uint8)


SPOILT: dict[str, Spoil] = {
    AS_IT_IS: lambda rgb, mpp: (rgb, mpp),
    **{f"JPEG of quality {q}": partial(packed, quality=q) for q in (80, 50, 30)},
    **{f"blurred by {s:g} um": partial(blurred, sigma_um=s) for s in (0.25, 0.5, 1.0)},
    **{f"noise of {d} / 255": partial(noisy, deviation=d) for d in (5, 10, 20)},
    **{f"optical density x {f:g}": partial(stained, factor=f) for f in (0.5, 0.7, 1.4, 2.0)},
    **{f"red x {f:g}, blue / {f:g}": partial(balanced, red=f) for f in (0.9, 1.1)},
    "grey": grey,
    **{f"scanned at {c:g} um/px": partial(scanned, coarse=c) for c in (0.5, 1.0)},
    **{f"um/px told x {f:g}": partial(mistold, factor=f) for f in (0.7, 0.8, 0.9, 1.1, 1.25, 1.4)},
}


def main() -> None:
    """Score and write JSON, or make table and figure of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", nargs="?")
    parser.add_argument("data", nargs="*", metavar="DATA[:SPLIT]")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true")
    chosen = parser.parse_args()
    if chosen.page:
        make_page(json.loads(RESULTS.read_text(encoding="utf-8")))
    elif chosen.model and chosen.data:
        report = measured(load(chosen.model), chosen.data)
        if chosen.json:
            chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    else:
        parser.error("expected a model and data, or --page")


def measured(model: Model, data: list[str]) -> dict[str, Any]:
    """Score a model on sets spoilt in every way."""
    sets = {}
    for each in data:
        folder, _, split = each.partition(":")
        name, split = recognise(Path(folder)).name, split or "test"
        samples = open_dataset(Path(folder), split)
        scores = []
        for way, spoil in SPOILT.items():
            predict = partial(_labels, model=model, spoil=spoil)
            found = evaluate(predict, samples, model=way, data=name, split=split)
            scores.append(found)
            print(name, split, way, *(f"{found.summaries[key].mean:.4f}" for key in SHOWN))
        sets[f"{name} {split}"] = {"n": len(samples), "ways": paired_rows(scores)}
    return {"model": model.card.name, "model_sha256": model.card.sha256, "sets": sets}


def _labels(rgb: Rgb, mpp: float, model: Model, spoil: Spoil) -> NDArray[np.int32]:
    """Segment a spoilt image; labels are brought back to the pixels of the annotation."""
    labels = segment_array(*spoil(rgb, mpp), model).labels
    if labels.shape == rgb.shape[:2]:
        return labels
    return np.asarray(cv2.resize(labels, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST))


def make_page(report: dict[str, Any]) -> None:
    """Write the table and the figure of the committed results."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(text, report), encoding="utf-8")
    with mpl.rc_context({"svg.hashsalt": "nuguide"}):
        figure(report).savefig(FIGURE, metadata={"Date": None})


def updated(text: str, report: dict[str, Any]) -> str:
    """Return the text of the page with its table of these results."""
    return with_table(text, table(report), "robustness", "robustness.py")


def table(report: dict[str, Any]) -> str:
    """Return the table: change of AJI and nuclei predicted over true, a row for each way."""
    sets = report["sets"]
    heads = [f"`{report['model']}`"]
    for name, found in sets.items():
        heads += [f"{_title(name, found)}: AJI", "change", "nuclei, predicted / true"]
    rows = []
    for way in SPOILT:
        cells = [way]
        for found in sets.values():
            row = found["ways"][way]
            change = "reference"
            if way != AS_IT_IS:
                change = f"{row['change']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            cells += [f"{row['aji']:.3f}", change, f"{row['count_ratio']:.2f}"]
        rows.append(cells)
    return as_table([heads, *rows])


def _title(name: str, found: dict[str, Any]) -> str:
    titles = {f"{tissue.name} {tissue.split}": tissue.title for tissue in TABLED}
    return f"{titles.get(name, name)}, n = {found['n']}"


def figure(report: dict[str, Any]) -> Figure:
    """Draw the change of AJI with its 95 % interval, a row for each way, a colour for each set."""
    ways = [way for way in SPOILT if way != AS_IT_IS]
    drawn = Figure(figsize=(7.5, 1.2 + 0.3 * len(ways)), layout="constrained")
    axes = drawn.subplots()
    axes.axvline(0, color="#777777", lw=1)
    for place, (name, found) in enumerate(report["sets"].items()):
        colour = ("#0072b2", "#d55e00", "#009e73")[place % 3]
        rows = np.arange(len(ways)) + 0.25 * (place - (len(report["sets"]) - 1) / 2)
        told = [found["ways"][way] for way in ways]
        axes.hlines(rows, [r["low"] for r in told], [r["high"] for r in told], color=colour, lw=2)
        label = _title(name, found)
        axes.plot([r["change"] for r in told], rows, "o", color=colour, ms=4, label=label)
    axes.set_yticks(range(len(ways)), ways)
    axes.set_ylim(len(ways) - 0.4, -0.6)
    axes.set_xlabel(f"change of AJI of {report['model']} (95 % interval, paired by image)")
    axes.legend(loc="lower left")
    return drawn


if __name__ == "__main__":
    main()

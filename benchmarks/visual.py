"""What a guide does inside a network, drawn beside an unguided one.

    python benchmarks/visual.py GUIDED UNGUIDED DATA --out FIGURE.png [--split all]

Three images are chosen by a rule, not by eye: those of the lowest, the median and the highest
difference in AJI, guided minus unguided. The AJI of all is printed, and what can be said of the
three in numbers.
"""

import argparse
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.evaluation.inside import Inside, Map, look_inside
from nuguide.evaluation.score import score
from nuguide.export.overlay import SUBPIXEL_BITS, drawable_outlines
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.nuclei.outlines import trace
from nuguide.segmentation.run import segment_array

GUIDED_RGB, UNGUIDED_RGB = (0, 90, 255), (255, 150, 0)
ENLARGED = 4
COMPONENTS = 3
PANEL_INCHES, BAR_INCHES = 1.35, 0.55
DPI = 130
FONT = 6.5
GATE = "gate, mean over channels"
RECEIVED = "attention received"
EVENNESS = "evenness of attention"
TICKS = {
    GATE: {0.0: "0, shut", 0.5: "0.5", 1.0: "1, open"},
    RECEIVED: {1 / 8: "1/8 of even", 1.0: "even", 8.0: "8 times"},
    EVENNESS: {0.0: "0, one key", 0.5: "0.5", 1.0: "1, all alike"},
}
"""What the scales of colours say, by the panel's title."""


@dataclass(frozen=True)
class Panel:
    """A picture with its title.

    Attributes
    ----------
    picture : ndarray
        (h, w, 3) uint8 colours; or (h, w) values, which ``norm`` brings to a scale of colours.
    """

    title: str
    picture: NDArray
    norm: Normalize | None = None


@dataclass(frozen=True)
class Case:
    """An image with what two models make of it.

    Attributes
    ----------
    sample : Sample
        The image.
    guided, unguided : Inside
        What was seen in the two networks.
    outlined : ndarray
        (h, w, 3) uint8: the image with the outlines of both.
    aji : (float, float)
        Of the guided and of the unguided model.
    """

    sample: Sample
    guided: Inside
    unguided: Inside
    outlined: NDArray[np.uint8]
    aji: tuple[float, float]


def main() -> None:
    """Choose images, look inside both networks, write the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("guided")
    parser.add_argument("unguided")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="all")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()

    guided, unguided = load(chosen.guided), load(chosen.unguided)
    samples = list(open_dataset(chosen.data, chosen.split))
    shown = chosen_images(samples, guided, unguided)
    cases = [case_of(sample, guided, unguided) for sample in shown]
    for case in cases:
        print(f"{case.sample.name}: {'; '.join(facts_of(case))}")
    write(drawn(cases), chosen.out)


def chosen_images(samples: Sequence[Sample], guided: Model, unguided: Model) -> list[Sample]:
    """Return the images of lowest, median and highest difference in AJI."""
    gaps = []
    for sample in samples:
        a, b = (aji_of(sample, model) for model in (guided, unguided))
        gaps.append((a - b, sample.name))
        print(f"{sample.name}: AJI guided {a:.3f}, unguided {b:.3f}, difference {a - b:+.3f}")
    order = sorted(range(len(samples)), key=lambda i: gaps[i])
    return [samples[order[place]] for place in dict.fromkeys((0, len(order) // 2, len(order) - 1))]


def aji_of(sample: Sample, model: Model) -> float:
    labels = segment_array(sample.image, sample.mpp, model).labels
    return float(score(sample.labels, labels)["aji"])


def case_of(sample: Sample, guided: Model, unguided: Model) -> Case:
    results = [segment_array(sample.image, sample.mpp, model) for model in (guided, unguided)]
    size = (sample.image.shape[1] * ENLARGED, sample.image.shape[0] * ENLARGED)
    picture = cv2.resize(sample.image, size, interpolation=cv2.INTER_CUBIC)
    for result, colour in zip(results[::-1], (UNGUIDED_RGB, GUIDED_RGB), strict=True):
        cv2.polylines(
            picture,
            drawable_outlines(trace(result.labels).polygons, (ENLARGED, ENLARGED)),
            isClosed=True,
            color=colour,
            thickness=5 if colour == UNGUIDED_RGB else 3,
            lineType=cv2.LINE_AA,
            shift=SUBPIXEL_BITS,
        )
    seen = [
        look_inside(model, resampled(sample, model.card.mpp).image) for model in (guided, unguided)
    ]
    first, second = (float(score(sample.labels, each.labels)["aji"]) for each in results)
    return Case(sample, *seen, np.asarray(picture, np.uint8), (first, second))


def facts_of(case: Case) -> list[str]:
    """Word what the maps of a case are in numbers."""
    inside, facts = case.guided, []
    if inside.before is not None and inside.after is not None:
        change = np.linalg.norm(inside.after - inside.before) / np.linalg.norm(inside.before)
        facts.append(f"fusion changes its map by {change:.1f} times the map's norm")
    if inside.gate is not None:
        facts.append(f"gate {inside.gate.min():.2f} to {inside.gate.max():.2f}")
        facts.append(f"gate and nuclei correlate at {with_nuclei(inside.gate, case.sample):+.2f}")
    if inside.received is not None and inside.entropy is not None:
        half, most = np.percentile(inside.received, (50, 99))
        facts.append(f"attention received: median {half:.2f}, 99th percentile {most:.1f}")
        link = with_nuclei(inside.entropy, case.sample)
        facts.append(f"evenness and nuclei correlate at {link:+.2f}")
    return facts


def with_nuclei(values: Map, sample: Sample) -> float:
    """Correlate a map with the share of each of its positions that true nuclei cover."""
    nuclei = (sample.labels > 0).astype(np.float32)
    share = cv2.resize(nuclei, values.shape[::-1], interpolation=cv2.INTER_AREA)
    return float(np.corrcoef(values.ravel(), share.ravel())[0, 1])


def drawn(cases: Sequence[Case]) -> Figure:
    """Draw a block for each case: the outlined image, beside it two rows of panels."""
    blocks = panels_of(cases)
    columns = 2 + -(-len(blocks[0]) // 2)
    height = 2 * len(cases) * (PANEL_INCHES + 0.16) + BAR_INCHES
    figure = Figure(figsize=(PANEL_INCHES * columns, height))
    top, bottom = 1 - 0.3 / height, BAR_INCHES / height
    grid = figure.add_gridspec(
        2 * len(cases), columns, top=top, bottom=bottom, left=0.01, right=0.99, wspace=0.05
    )
    for i, (case, panels) in enumerate(zip(cases, blocks, strict=True)):
        first, second = case.aji
        told = f"{case.sample.name}: AJI guided {first:.2f} (blue), unguided {second:.2f} (orange)"
        show(figure.add_subplot(grid[2 * i : 2 * i + 2, :2]), Panel(told, case.outlined))
        for k, panel in enumerate(panels):
            row, column = divmod(k, columns - 2)
            show(figure.add_subplot(grid[2 * i + row, 2 + column]), panel)
    norms = {panel.title: panel.norm for panel in blocks[0] if panel.norm is not None}
    for k, (title, norm) in enumerate(norms.items()):
        place = (0.06 + k * 0.33, 0.42 * BAR_INCHES / height, 0.22, 0.09 / height)
        bar = figure.colorbar(
            ScalarMappable(norm, "viridis"),
            cax=figure.add_axes(place),
            orientation="horizontal",
            ticks=list(TICKS[title]),
        )
        bar.minorticks_off()
        bar.ax.set_xticklabels(TICKS[title].values())
        bar.ax.tick_params(labelsize=FONT, length=2)
        bar.ax.set_title(title, fontsize=FONT, pad=3)
        bar.outline.set_visible(False)
    return figure


def panels_of(cases: Sequence[Case]) -> list[list[Panel]]:
    """Return the panels of each case; a kind of panel is the same for all, or for none."""
    guided = [case.guided for case in cases]
    kinds: list[tuple[str, Normalize | None, Sequence[Map | None]]] = [
        ("guide's tokens", None, [each.tokens for each in guided]),
        (GATE, Normalize(0, 1), [each.gate for each in guided]),
        (RECEIVED, LogNorm(1 / 8, 8, clip=True), [each.received for each in guided]),
        (EVENNESS, Normalize(0, 1), [each.entropy for each in guided]),
        ("before fusion", None, [each.before for each in guided]),
        ("after fusion", None, [each.after for each in guided]),
        ("bottleneck, guided", None, [each.bottleneck for each in guided]),
        ("bottleneck, unguided", None, [case.unguided.bottleneck for case in cases]),
    ]
    blocks: list[list[Panel]] = [[] for _ in cases]
    for title, norm, maps in kinds:
        there = [each for each in maps if each is not None]
        if len(there) < len(cases):
            continue
        for block, picture in zip(
            blocks, in_colours(there) if norm is None else there, strict=True
        ):
            block.append(Panel(title, picture, norm))
    return blocks


def in_colours(maps: Sequence[Map]) -> list[NDArray[np.uint8]]:
    """Colour maps by their three principal components, which all of them share.

    Each component is stretched from its 1st to its 99th percentile, and turned so that its
    largest loading is positive.

    Parameters
    ----------
    maps : sequence of ndarray
        (C, h, w) each.

    Returns
    -------
    list of ndarray
        (h, w, 3) uint8.
    """
    rows = np.concatenate([each.reshape(each.shape[0], -1).T for each in maps]).astype(np.float64)
    centred = rows - rows.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :COMPONENTS]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    values = centred @ axes
    low, high = np.percentile(values, (1, 99), axis=0)
    shades = (np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
    starts = np.cumsum([math.prod(each.shape[1:]) for each in maps])[:-1]
    parts = np.split(shades, starts)
    return [part.reshape(*each.shape[1:], -1) for part, each in zip(parts, maps, strict=True)]


def show(axes: Axes, panel: Panel) -> None:
    """Show colours as they are, and a map in viridis."""
    axes.imshow(panel.picture, cmap="viridis", norm=panel.norm, interpolation="nearest")
    axes.set_title(panel.title, fontsize=FONT, pad=2)
    axes.set_axis_off()


def write(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours, chosen for the figure."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=DPI)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(stream) as picture:
        palette = picture.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    palette.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

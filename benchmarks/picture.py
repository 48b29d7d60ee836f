"""Draw what a model finds where it is worst, middling and best: README's picture.

    python benchmarks/picture.py MODEL DATA --out PICTURE.jpg [--split all]

Three images are chosen by a rule, not by eye: those of the lowest, the median and the highest AJI.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.drawing import FALSE, MATCHED, MISSED, draw_nuclei, judge_nuclei
from nuguide.evaluation.prediction import Prediction, predictor
from nuguide.evaluation.score import score
from nuguide.models.registry import load

PANEL_INCHES, GAP_INCHES, TITLE_INCHES, DPI = 3.0, 0.06, 0.24, 110


def main() -> None:
    """Score all images, draw three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="all", choices=["fit", "validation", "test", "all"])
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()

    predict = predictor(load(chosen.model))
    scored = []
    for sample in open_dataset(chosen.data, chosen.split):
        found = predict(sample.image, sample.mpp)
        prediction = found if isinstance(found, Prediction) else Prediction(found)
        aji = score(sample.labels, prediction.labels, ignore=sample.ignore)["aji"]
        scored.append((aji, sample, prediction))
    scored.sort(key=lambda each: each[0])
    three = [scored[0], scored[len(scored) // 2], scored[-1]]
    draw(three).savefig(chosen.out, dpi=DPI, pil_kwargs={"quality": 88})
    for aji, sample, _ in three:
        print(f"{sample.name}  AJI {aji:.3f}")
    print(chosen.out)


def draw(three: list[tuple[float, Sample, Prediction]]) -> Figure:
    """Return the images as they are above the images with outlines."""
    step = PANEL_INCHES + GAP_INCHES
    width, height = 3 * step - GAP_INCHES, 2 * step + TITLE_INCHES
    figure = Figure(figsize=(width, height))
    for column, (word, (aji, sample, prediction)) in enumerate(
        zip(("lowest", "median", "highest"), three, strict=True)
    ):
        verdicts = judge_nuclei(sample, prediction)
        for row, picture in enumerate((draw_nuclei(sample, verdicts), sample.image)):
            axes = figure.add_axes(
                (
                    column * step / width,
                    (TITLE_INCHES + row * step) / height,
                    PANEL_INCHES / width,
                    PANEL_INCHES / height,
                )
            )
            axes.imshow(picture, interpolation="bicubic")
            axes.set_axis_off()
        counts = {word: verdicts.count(word) for word in (MATCHED, FALSE, MISSED)}
        said = f"{word} AJI, {aji:.2f}: " + ", ".join(f"{n} {what}" for what, n in counts.items())
        left = column * step / width
        figure.text(left, 0.25 * TITLE_INCHES / height, said, fontsize=8.5)
    return figure


if __name__ == "__main__":
    main()

"""Does the guide matter? A guided model against zeroed and shuffled tokens, and an unguided one.

    python benchmarks/guidance.py GUIDED DATA [--unguided MODEL] [--split validation] [--json F]

Scores are means over images at the annotation's own resolution; the difference to `guided` is
paired by image, with a bootstrap 95 % interval over images, or over patients or slides where
several images share one.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.controls import controlled
from nuguide.evaluation.evaluate import Scores, evaluate
from nuguide.evaluation.intervals import paired_difference
from nuguide.models.registry import load
from nuguide.segmentation.run import segment_array

SHOWN = ("dice_foreground", "aji", "pq")


def main() -> None:
    """Run the controls, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("guided")
    parser.add_argument("data", type=Path)
    parser.add_argument("--unguided")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    samples = open_dataset(chosen.data, chosen.split)
    guided = load(chosen.guided)
    predictors = {
        control: controlled(guided, control, samples)
        for control in ("guided", "zeroed", "shuffled")
    }
    if chosen.unguided:
        plain = load(chosen.unguided)
        predictors["unguided"] = lambda rgb, mpp: segment_array(rgb, mpp, plain).labels
    results: dict[str, Scores] = {}
    for name, predict in predictors.items():
        results[name] = evaluate(
            predict, samples, model=name, data=chosen.data.name, split=chosen.split
        )
        print(row(name, results[name], results["guided"]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(record(results), indent=1))


def values(scores: Scores, name: str) -> np.ndarray:
    return np.array([image.scores[name] for image in scores.images])


def row(name: str, scores: Scores, guided: Scores) -> str:
    cells = []
    for score in SHOWN:
        cell = f"{score} {scores.summaries[score].mean:.4f}"
        if scores is not guided:
            gap = paired_difference(
                values(guided, score), values(scores, score), origins=guided.origins
            )
            cell += f" (guided minus this {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}])"
        cells.append(cell)
    return f"{name:<9} n {len(scores.images)}  " + "  ".join(cells)


def record(results: dict[str, Scores]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        name: {
            score: {
                "mean": scores.summaries[score].mean,
                "low": scores.summaries[score].low,
                "high": scores.summaries[score].high,
                "n": len(scores.images),
            }
            for score in SHOWN
        }
        for name, scores in results.items()
    }


if __name__ == "__main__":
    main()

"""Does the share of nuclei that is expected to match tell which images to look at first?

    python benchmarks/expectation.py --data MoNuSeg2018 --data CoNSeP --data NuCLS

Of each image of tissue that `default` was not fitted on, as it is and spoilt as in robustness.py,
the mean match probability of the nuclei found (what a run's record and summary.csv tell) and the
share of them that a true nucleus matches (IoU > 0.5); rank correlations over the images of a set,
with that share and with AJI. Writes docs/results/expectation.json and the table of docs/results.md;
without --data it writes the table alone.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import RESULTS as SCORES
from accuracy import TABLED, Tissue
from pages import README, as_table, with_table
from robustness import AS_IT_IS, SPOILT
from scipy import stats

from nuguide.datasets.opening import open_dataset, recognise
from nuguide.evaluation.calibration import judged
from nuguide.evaluation.record import read_scores
from nuguide.models.registry import load

RESULTS = README.parent / "docs/results/expectation.json"
PAGE = README.parent / "docs/results.md"
WAYS = (
    AS_IT_IS,
    "JPEG of quality 30",
    "blurred by 0.5 um",
    "blurred by 1 um",
    "noise of 20 / 255",
    "grey",
    "um/px told x 0.7",
    "um/px told x 1.4",
)


def main() -> None:
    """Measure where asked, then bring the table up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    chosen = parser.parse_args()
    if chosen.data:
        sets = [measured(data) for data in chosen.data]
        RESULTS.write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(updated(text, json.loads(RESULTS.read_text())), encoding="utf-8")
    print(PAGE)


def measured(data: Path) -> dict[str, Any]:
    """Judge the nuclei of each image of a set, in each way."""
    (tissue,) = (each for each in TABLED if each.name == recognise(data).name)
    model = load("default")
    calibration = model.card.calibration
    if calibration is None:
        raise SystemExit("the default is not calibrated; expected a calibration; calibrate it")
    samples = list(open_dataset(data, tissue.split))
    found: dict[str, Any] = {
        "images": tissue.title,
        "n": len(samples),
        "model_sha256": model.card.sha256,
    }
    for way in WAYS:
        spoilt = []
        for sample in samples:
            rgb, mpp = SPOILT[way](sample.image, sample.mpp)
            spoilt.append(replace(sample, image=rgb, mpp=mpp))
        seen = judged(model, spoilt)
        worth = calibration.probability(seen.confidence)
        pairs = np.array(
            [
                [values[seen.image == image].mean() for values in (worth, seen.matched)]
                for image in range(len(samples))
            ]
        )
        found[way] = {
            "expected": round(float(worth.mean()), 4),
            "matched": round(float(seen.matched.mean()), 4),
            "rank_correlation": round(float(stats.spearmanr(pairs).statistic), 3),
        }
        print(tissue.title, way, found[way], flush=True)
        if way == AS_IT_IS:
            aji = [image.scores["aji"] for image in _scores(tissue)]
            found["rank_correlation_aji"] = round(
                float(stats.spearmanr(pairs[:, 0], aji).statistic), 3
            )
    return found


def _scores(tissue: Tissue) -> Any:
    return read_scores(tissue.file(SCORES, "default")).images


def updated(text: str, sets: list[dict[str, Any]]) -> str:
    """Return the page's text with the table of these results."""
    heads = ["expected, and true share of matching nuclei"]
    rows = [[way] for way in WAYS]
    ends = [["rank correlation over images, as they are"], ["the same, of the expected with AJI"]]
    for found in sets:
        heads.append(f"{found['images']}, n = {found['n']}")
        for row, way in zip(rows, WAYS, strict=True):
            row.append(f"{100 * found[way]['expected']:.0f}, {100 * found[way]['matched']:.0f} %")
        ends[0].append(f"{found[AS_IT_IS]['rank_correlation']:.2f}")
        ends[1].append(f"{found['rank_correlation_aji']:.2f}")
    return with_table(text, as_table([heads, *rows, *ends]), "expectation", "expectation.py")


if __name__ == "__main__":
    main()

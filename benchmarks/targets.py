"""What does each design of the second head keep of the nuclei, and what does its decoding cost?

    python benchmarks/targets.py DATA [--split fit] [--mpp 0.5] [--json FILE]

The targets of annotated nuclei are decoded as if a network had predicted them without a mistake,
with the thresholds of the grid `targets`. Scores are means over images at the um/px of the targets:
a ceiling, which no network passes. Both are timed in alternation on the same maps, one thread each.
Never run it on test images: it is there to choose by.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.evaluation.score import score
from nuguide.segmentation.decoding import Maps, decode
from nuguide.training.ablation.grid import planned, read_grid
from nuguide.training.targets import make_targets

DESIGNS = ("distance", "offsets")
ROWS = {"distance": "none", "offsets": "offsets"}
"""The grid's row of each design."""

REPEATS = 5


def main() -> None:
    """Decode, score, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="fit", choices=["validation", "fit", "train"])
    parser.add_argument("--mpp", type=float, default=0.5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    cv2.setNumThreads(1)
    plan = {each.variant: each.recipe for each in planned(read_grid("targets"), "default")}
    found = {
        name: {"aji": [], "pq": [], "decoding_s": [], "target_s": [], "mm2": []} for name in DESIGNS
    }
    for sample in open_dataset(chosen.data, chosen.split):
        labels = resampled(sample, chosen.mpp).labels
        targets = make_targets(labels, chosen.mpp, DESIGNS)
        foreground = (labels > 0).astype(np.float32)
        maps = {
            "distance": Maps(foreground, targets["distance"], chosen.mpp),
            "offsets": Maps(foreground, None, chosen.mpp, targets["offsets"]),
        }
        times: dict[str, list[float]] = {name: [] for name in DESIGNS}
        making: dict[str, list[float]] = {name: [] for name in DESIGNS}
        for _ in range(REPEATS):
            for name in DESIGNS:
                began = time.perf_counter()
                decoded = decode(maps[name], plan[ROWS[name]].decoding)
                times[name].append(time.perf_counter() - began)
                began = time.perf_counter()
                make_targets(labels, chosen.mpp, [name])
                making[name].append(time.perf_counter() - began)
                if len(times[name]) == REPEATS:
                    scores = score(labels, decoded)
                    found[name]["aji"].append(scores["aji"])
                    found[name]["pq"].append(scores["pq"])
        for name in DESIGNS:
            found[name]["decoding_s"].append(float(np.median(times[name])))
            found[name]["target_s"].append(float(np.median(making[name])))
            found[name]["mm2"].append(labels.size * chosen.mpp**2 / 1e6)

    rows = {
        name: {
            "images": len(of["aji"]),
            "aji": float(np.mean(of["aji"])),
            "pq": float(np.mean(of["pq"])),
            "decoding_s_per_mm2": sum(of["decoding_s"]) / sum(of["mm2"]),
            "target_s_per_mm2": sum(of["target_s"]) / sum(of["mm2"]),
            "decoding": plan[ROWS[name]].decoding.model_dump(),
        }
        for name, of in found.items()
    }
    print(f"{chosen.data.name}, {chosen.split}, {chosen.mpp:g} um/px")
    print("| design | images | AJI | PQ | decoding, s/mm2 | target, s/mm2 |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['images']} | {row['aji']:.3f} | {row['pq']:.3f} "
            f"| {row['decoding_s_per_mm2']:.3f} | {row['target_s_per_mm2']:.3f} |"
        )
    one, other = (rows[name]["decoding_s_per_mm2"] for name in DESIGNS)
    print(f"decoding, offsets / distance: {other / one:.2f}")
    if chosen.json:
        about = {"data": chosen.data.name, "split": chosen.split, "mpp": chosen.mpp}
        chosen.json.write_text(json.dumps(about | {"designs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

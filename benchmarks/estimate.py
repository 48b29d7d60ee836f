"""How far off is an um/px that is estimated of the picture alone (`--mpp estimate`)?

    python benchmarks/estimate.py --data MoNuSeg2018:train --data CoNSeP:train --json FILE

Each image as it is and shrunk by 2, its scale hidden; told is the ratio of estimate and truth.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from nuguide.datasets.opening import open_dataset
from nuguide.errors import ResolutionError
from nuguide.models.registry import load
from nuguide.segmentation.engine import on_device
from nuguide.segmentation.estimate import estimate_scale
from nuguide.slides.reader import from_array


def main() -> None:
    """Estimate, print the spread of the ratios, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", action="append", required=True, metavar="FOLDER:SPLIT")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    model = on_device(load(chosen.model), "cpu")
    told = {}
    for each in chosen.data:
        folder, _, split = each.rpartition(":")
        for shrunk in (1, 2):
            ratios = []
            for sample in open_dataset(Path(folder), split):
                height, width = (side // shrunk for side in sample.image.shape[:2])
                rgb = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA)
                try:
                    found = estimate_scale(from_array(rgb, 0.5), model).mpp
                except ResolutionError:
                    continue
                ratios.append(found / (sample.mpp * shrunk))
            name = f"{Path(folder).name} {split}, shrunk by {shrunk}"
            told[name] = spread(np.array(ratios))
            print(name, told[name], flush=True)
    if chosen.json:
        content = {"model": chosen.model, "model_sha256": model.card.sha256, "ratios": told}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def spread(ratios: np.ndarray) -> dict[str, float]:
    """Return the median of estimate over truth, percentiles, and how many are near."""
    return {
        "n": int(ratios.size),
        "median": round(float(np.median(ratios)), 3),
        "percentile_10": round(float(np.percentile(ratios, 10)), 3),
        "percentile_90": round(float(np.percentile(ratios, 90)), 3),
        "within_1.4": int((np.abs(np.log(ratios)) <= np.log(1.4)).sum()),
        "within_2": int((np.abs(np.log(ratios)) <= np.log(2)).sum()),
    }


if __name__ == "__main__":
    main()

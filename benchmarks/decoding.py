"""Which thresholds decode best? A grid over `Decoding` on the validation images of a data set.

    python benchmarks/decoding.py MODEL DATA [--split validation]

Maps are predicted once. Scores are means over images at the annotation's own resolution; the
choice is by AJI. Never run it on test images: what it prints is a choice.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np

from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.score import score
from nuguide.models.card import Decoding
from nuguide.models.registry import load
from nuguide.segmentation.decoding import decode
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.region import read_mirrored
from nuguide.segmentation.seams import native_box, to_native
from nuguide.slides.reader import from_array
from nuguide.slides.regions import plan_regions

GRID = {
    "foreground_threshold": (0.4, 0.45, 0.5, 0.55),
    "smoothing_um": (0.5, 0.75, 1.0),
    "prominence": (0.05, 0.08, 0.12, 0.16, 0.2),
    "min_area_um2": (5.0, 8.0),
}


def main() -> None:
    """Predict, decode with each setting, print them from the best."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="validation", choices=["validation", "fit"])
    chosen = parser.parse_args()

    model = load(chosen.model)
    predicted = []
    for sample in open_dataset(chosen.data, chosen.split):
        slide = from_array(sample.image, sample.mpp)
        (region,) = plan_regions(slide.shape_at(model.card.mpp), grid_px=64)
        maps = predict_maps(model, read_mirrored(slide, region.read, model.card.mpp))
        predicted.append((sample, slide, region.read, maps))

    rows = []
    for setting in itertools.product(*GRID.values()):
        decoding = Decoding(**dict(zip(GRID, setting, strict=True)))
        scores = []
        for sample, slide, read, maps in predicted:
            scale = slide.mpp / model.card.mpp
            box = native_box(read, scale, slide.shape)
            labels, _ = to_native(
                decode(maps, decoding),
                maps.foreground,
                decoding.foreground_threshold,
                read,
                box,
                scale,
            )
            found = score(sample.labels, labels)
            scores.append([found["aji"], found["pq"], found["dice_foreground"]])
        rows.append((np.mean(scores, axis=0), decoding))
    rows.sort(key=lambda row: -row[0][0])
    for (aji, pq, dice), decoding in [*rows[:10], rows[-1]]:
        settings = "  ".join(f"{name} {value:g}" for name, value in decoding.model_dump().items())
        print(f"AJI {aji:.4f}  PQ {pq:.4f}  Dice {dice:.4f}  {settings}")


if __name__ == "__main__":
    main()

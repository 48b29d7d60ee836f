"""What is kept and what is learned between a model and one that was trained on from it?

    python benchmarks/blending.py FIRST SECOND DATA[:SPLIT] [DATA[:SPLIT] ...] [--json F]

For each share of the second (``nuguide.models.blending``) mean scores over the images, all decoded
as the first is, and the difference in AJI to the first, paired by image.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paired import paired_rows

from nuguide.datasets.opening import open_dataset, recognise
from nuguide.evaluation.evaluate import evaluate
from nuguide.models.blending import blend
from nuguide.models.inference import for_inference
from nuguide.models.model import Model
from nuguide.models.registry import load_plain
from nuguide.segmentation.run import segment_array

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Score the blends on each set, print the tables, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("data", nargs="+", metavar="DATA[:SPLIT]")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    first, second = load_plain(chosen.first), load_plain(chosen.second)
    blends = {share: _decoded_as(first, blend(first, second, share)) for share in SHARES}
    report: dict[str, Any] = {
        "first_sha256": first.card.sha256,
        "second_sha256": second.card.sha256,
        "decoding": first.card.decoding.model_dump(),
    }
    for each in chosen.data:
        folder, _, asked = each.partition(":")
        split = asked or "validation"
        name, samples = recognise(Path(folder)).name, open_dataset(Path(folder), split)
        scores = [
            evaluate(
                partial(_labels, model=model),
                samples,
                model=f"{share:g}",
                data=name,
                split=split,
            )
            for share, model in blends.items()
        ]
        report[f"{name} {split}"] = rows = paired_rows(scores)
        for share, row in rows.items():
            print(name, split, share, *(f"{name} {row[name]:.4f}" for name in row))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _decoded_as(first: Model, blended: Model) -> Model:
    card = blended.card.model_copy(update={"decoding": first.card.decoding})
    return for_inference(Model(blended.network, blended.guide, card))


def _labels(rgb: NDArray[np.uint8], mpp: float, model: Model) -> NDArray[np.int32]:
    return segment_array(rgb, mpp, model).labels


if __name__ == "__main__":
    main()

"""Does bringing an image's stain nearer to what a model was trained on help it, without training?

    python benchmarks/stains.py MODEL REFERENCE DATA [--split all] [--json F]

REFERENCE is what the model was trained on. Compared, each with the image as it is, paired by image:

- ``normalised``: mean and spread of the tissue's L*, a* and b* are made those of the reference
  (Reinhard et al., IEEE Computer Graphics and Applications 21(5), 2001); ``half``: half of the way;
- ``statistics``: the image is left alone, and the means and variances of batch normalisation go a
  tenth or three tenths of the way to those of the image (Li et al., Pattern Recognition 80, 2018).
"""

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nuguide.datasets.opening import open_dataset
from nuguide.evaluation.compare import compare
from nuguide.evaluation.evaluate import evaluate
from nuguide.models.model import Model
from nuguide.models.registry import load_plain
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.run import segment_array
from nuguide.slides.reader import from_array

Rgb = NDArray[np.uint8]
Statistics = NDArray[np.float64]
"""(2, 3): means of L*, a* and b* over the tissue, and their standard deviations."""

SHOWN = ("dice_foreground", "aji", "pq")

GLASS_LIGHTNESS = 88.0
"""L*, 0 to 100, from which on a pixel is no tissue."""


def main() -> None:
    """Score a model on images as they are and in other ways, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("reference", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="all")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    model = load_plain(chosen.model)
    reference = np.mean([statistics(s.image) for s in open_dataset(chosen.reference, "fit")], 0)
    ways: dict[str, Callable[[Rgb, float], NDArray[np.int32]]] = {
        "as it is": lambda rgb, mpp: segment_array(rgb, mpp, model).labels,
        "normalised": lambda rgb, mpp: segment_array(normalised(rgb, reference), mpp, model).labels,
        "normalised, half": lambda rgb, mpp: (
            segment_array(normalised(rgb, reference, 0.5), mpp, model).labels
        ),
        "statistics, 0.1": lambda rgb, mpp: (
            segment_array(rgb, mpp, adapted(model, rgb, mpp, 0.1)).labels
        ),
        "statistics, 0.3": lambda rgb, mpp: (
            segment_array(rgb, mpp, adapted(model, rgb, mpp, 0.3)).labels
        ),
    }
    samples = open_dataset(chosen.data, chosen.split)
    scores = [
        evaluate(predict, samples, model=name, data=chosen.data.name, split=chosen.split)
        for name, predict in ways.items()
    ]
    found = compare(scores, list(ways))
    rows = {}
    for name, each, gaps in zip(ways, scores, ({}, *found.differences), strict=True):
        rows[name] = {
            score: {"mean": each.summaries[score].mean, "n": len(each.images)} for score in SHOWN
        }
        for score, row in rows[name].items():
            if score in gaps:
                gap = gaps[score].interval
                row |= {"difference": gap.mean, "low": gap.low, "high": gap.high}
            print(name, score, *(f"{key} {value:.4f}" for key, value in row.items()))
    if chosen.json:
        told = {"model_sha256": model.card.sha256, "split": chosen.split, "rows": rows}
        chosen.json.write_text(json.dumps(told, indent=1))


def lab_of(rgb: Rgb) -> NDArray[np.float32]:
    """Return L*, a* and b* of (H, W, 3) RGB."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def statistics(rgb: Rgb) -> Statistics:
    """Return means and spreads of an image's tissue; of all of it where there is hardly any."""
    lab = lab_of(rgb)
    tissue = lab[..., 0] < GLASS_LIGHTNESS
    pixels = lab[tissue if tissue.mean() > 0.05 else np.ones_like(tissue)].astype(np.float64)
    return np.stack([pixels.mean(0), pixels.std(0)])


def normalised(rgb: Rgb, reference: Statistics, strength: float = 1.0) -> Rgb:
    """Return an image with the reference's statistics, or part of the way to them."""
    lab, (mean, spread) = lab_of(rgb), statistics(rgb)
    there = (lab - mean) / np.maximum(spread, 1e-3) * reference[1] + reference[0]
    mixed = ((1 - strength) * lab + strength * there).astype(np.float32)
    back = cv2.cvtColor(mixed, cv2.COLOR_LAB2RGB)
    return (np.clip(back, 0, 1) * 255).round().astype(np.uint8)


def adapted(model: Model, rgb: Rgb, mpp: float, share: float) -> Model:
    """Return a model whose batch normalisation has moved towards an image's own statistics."""
    network = copy.deepcopy(model.network)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = share
            module.train()
    moving = replace(model, network=network)
    slide = from_array(rgb, mpp)
    height, width = slide.shape_at(model.card.mpp)
    predict_maps(moving, slide.read(0, 0, height, width, model.card.mpp))
    network.eval()
    return moving


if __name__ == "__main__":
    main()

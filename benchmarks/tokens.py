"""How much do a guide's tokens change when the tissue does not? And how near is a student to them?

    python benchmarks/tokens.py DATA [--guide tinyvit-sam] [--student NAME=RUN] [--json FILE]

The same images, laid down otherwise: turned by a quarter, mirrored, moved under the grid of fields
by half a field and by 10 um, and read at 0.5 um/px. The tokens are brought back over their tissue
and compared with those of the images as they are: cosine at each token, channels standardised by
mean and spread over all images, then the mean over an image. What a guide does not tell of itself,
no student of it can learn that sees the tissue alone.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pages import as_table
from torch import Tensor

from nuguide.datasets.base import Sample
from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.guides.base import Guide
from nuguide.guides.fields import encode_extent
from nuguide.guides.registry import load_guide
from nuguide.training.finish import load_student

Encode = Callable[[NDArray[np.uint8], float], Tensor]


def moved(encode: Encode, sample: Sample, um: float, token_um: float) -> tuple[Tensor, int]:
    """Encode an image without its first ``um`` rows and columns; and how many tokens those are."""
    tokens = round(um / token_um)
    px = round(tokens * token_um / sample.mpp)
    return encode(np.ascontiguousarray(sample.image[px:, px:]), sample.mpp), tokens


def ways(encode: Encode, sample: Sample, guide: Guide, token_um: float) -> dict[str, Tensor]:
    """Return the tokens of the tissue laid down otherwise, each over the tissue as it is."""
    image, mpp = sample.image, sample.mpp
    turned = encode(np.ascontiguousarray(np.rot90(image)), mpp)
    mirrored = encode(np.ascontiguousarray(image[:, ::-1]), mpp)
    found = {
        "turned by a quarter": torch.rot90(turned, -1, (1, 2)),
        "mirrored": mirrored.flip(2),
    }
    for um in (guide.field_um / 2, 10.0):
        values, tokens = moved(encode, sample, um, token_um)
        found[f"moved by {um:g} um"] = F.pad(values, (tokens, 0, tokens, 0), value=torch.nan)
    half = resampled(sample, 0.5)
    found["read at 0.5 um/px"] = encode(half.image, half.mpp)
    return found


def main() -> None:
    """Encode, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="validation", choices=["validation", "fit"])
    parser.add_argument("--guide", default="tinyvit-sam")
    parser.add_argument("--student", action="append", default=[], metavar="NAME=RUN")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()

    guide = load_guide(chosen.guide)
    students = {
        name: load_student(Path(run))
        for name, _, run in (each.partition("=") for each in chosen.student)
    }

    def encode(rgb: NDArray[np.uint8], mpp: float) -> Tensor:
        return encode_extent(guide, rgb, mpp).values[0]

    plain: dict[str, Tensor] = {}
    others: dict[str, dict[str, Tensor]] = {}
    for sample in open_dataset(chosen.data, chosen.split):
        embedding = encode_extent(guide, sample.image, sample.mpp)
        plain[sample.name] = embedding.values[0]
        others[sample.name] = ways(encode, sample, guide, embedding.token_um)
        for name, student in students.items():
            seen = resampled(sample, student.mpp)
            others[sample.name][name] = encode_extent(student, seen.image, seen.mpp).values[0]

    every = torch.cat([tokens.flatten(1) for tokens in plain.values()], dim=1)
    mean, spread = every.mean(1)[:, None, None], every.std(1)[:, None, None]
    rows: dict[str, dict[str, float]] = {}
    for way in next(iter(others.values())):
        cosines = []
        for name, tokens in plain.items():
            _, height, width = tokens.shape
            pair = ((x[:, :height, :width] - mean) / spread for x in (tokens, others[name][way]))
            cosines.append(float(F.cosine_similarity(*pair, dim=0).nanmean()))
        rows[way] = {
            "mean": float(np.mean(cosines)),
            "least": min(cosines),
            "greatest": max(cosines),
        }
    found = {
        "guide": chosen.guide,
        "field_um": guide.field_um,
        "data": chosen.data.name,
        "split": chosen.split,
        "n": len(plain),
        "cosine": rows,
    }
    print(table(found))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")


def table(found: dict[str, Any]) -> str:
    """Return the table of what was found, as docs/results.md has it."""
    head = [f"`{found['guide']}`, n = {found['n']}", "cosine", "least of an image", "greatest"]
    rows = [
        [way, *(f"{row[key]:.3f}" for key in ("mean", "least", "greatest"))]
        for way, row in found["cosine"].items()
    ]
    return as_table([head, *rows])


if __name__ == "__main__":
    main()

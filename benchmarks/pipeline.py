"""Time the released pipeline, the same function here, and the default model from file to GeoJSON.

    python benchmarks/pipeline.py                       # small sizes, minutes
    python benchmarks/pipeline.py --full --json benchmarks/results/NAME.json
    python benchmarks/pipeline.py --growth              # s against mm2, 0.06 to 10 mm2 with --full

All candidates run one after another, again and again; medians of ``--repeats`` are given. What
others released runs in a process of its own (``released.py``). Weights are random except those of
the embedded model: time does not depend on them.
``--instanseg FOLDER`` adds a peer's network with random weights, from a folder made by
``pip install --no-deps --target FOLDER instanseg-torch==0.1.2 einops``.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from plain_form import plain_form
from released import PARTS, TILE_PX, Released, backward, trainable
from runs import TILE_MPP, machine, nuclei_of, shares, tissue
from torch import Tensor, nn

import nuguide
from nuguide.backends.registry import with_backend
from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.inference import InferenceNetwork
from nuguide.training.hardware import Precision, chosen_precision, in_precision

TILES_PER_MM2 = 1e6 / (TILE_PX * TILE_MPP) ** 2
GROWTH_MM2 = (0.0625, 0.25, 1.0, 4.0, 10.0)
OTHER_FUNCTIONS = ("bfloat16", "int8")
"""Backends that are faster and not quite the same."""

CPU = torch.device("cpu")
Times = dict[str, float]
Candidate = Callable[[], float]


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    report: dict[str, Any] = {"machine": machine(chosen.threads), "model": chosen.model}
    if chosen.growth:
        areas = GROWTH_MM2 if chosen.full else GROWTH_MM2[:3]
        report["growth"] = growth(areas, chosen.repeats, chosen.model)
    else:
        report |= speed(chosen)
    report["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(report, indent=2))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(report, indent=2) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="of which the median is given")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", type=int, default=2048, help="px of the image at 0.25 um/px")
    parser.add_argument("--model", default="default")
    parser.add_argument("--full", action="store_true", help="larger areas; training at c 8, 16, 32")
    parser.add_argument("--growth", action="store_true", help="only s against mm2")
    parser.add_argument("--instanseg", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def speed(chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the three pipelines in alternation, then the components."""
    network = EUNet3Plus(width=32, fusion="released").eval()
    plain, fast = plain_form(network), InferenceNetwork(network)
    tile, tokens = torch.rand(1, 3, TILE_PX, TILE_PX), torch.randn(1, 256, 64, 64)
    found: list[dict[str, Any]] = []
    side = 4096 if chosen.full else chosen.side
    with (
        tempfile.TemporaryDirectory() as folder,
        Released(chosen.threads, chosen.instanseg) as released,
    ):
        image = Path(folder) / "tissue.tif"
        tifffile.imwrite(image, tissue(side), tile=(256, 256), compression="zlib")
        out = Path(folder) / "out"

        def default() -> None:
            run = nuguide.segment(image, TILE_MPP, model=chosen.model, out=out / str(len(found)))
            found.append(run.record["found"])

        def otherwise(model: Model) -> None:
            run = nuguide.segment(
                image, TILE_MPP, model=model, out=out / model.backend, overwrite=True
            )
            nuclei_of(run.record["found"])

        candidates: dict[str, Candidate] = {
            "sam": released("sam"),
            "tile, plain": released("tile"),
            "tile, plain, our memory": timed(lambda: plain(tile, tokens)),
            "tile": timed(lambda: fast(tile, tokens)),
            "default": timed(default),
            **{
                model.backend: timed(lambda chosen=model: otherwise(chosen))
                for model in other_functions(chosen.model)
            },
        }
        if chosen.instanseg is not None:
            candidates |= peer(chosen, released)
        times = alternate(candidates, chosen.repeats)
        parts = components(network, released, chosen)
        steps = [training(precision, released, chosen) for precision in ("32", shipped())]
    with torch.inference_mode():
        difference = largest_difference(plain(tile, tokens), fast(tile, tokens))
    return told(times, (side * TILE_MPP / 1000) ** 2, difference) | {
        "default_nuclei": nuclei_of(found[-1]),
        "share": shares(found),
        "components_s": parts,
        "training_step": steps[0],
        "training_step_as_shipped": steps[1],
    }


def other_functions(name: str) -> list[Model]:
    """Return a model in the precisions that this machine computes besides float32."""
    found = []
    for backend in OTHER_FUNCTIONS:
        try:
            found.append(with_backend(load(name), backend))
        except InputError as error:
            print(error, file=sys.stderr)
    return found


def told(times: Times, mm2: float, difference: float) -> dict[str, Any]:
    """Return what the seconds of the three pipelines come to."""
    per_mm2 = (times["sam"] + times["tile, plain"]) * TILES_PER_MM2
    ours = times["tile, plain, our memory"]
    report: dict[str, Any] = {
        "released_s_per_mm2": round(per_mm2, 2),
        "same_function_s_per_mm2": round((times["sam"] + times["tile"]) * TILES_PER_MM2, 2),
        "default_s_per_mm2": round(times["default"] / mm2, 3),
        "ratio": round(per_mm2 / (times["default"] / mm2), 1),
        "tile_forward": compared(times["tile, plain"], times["tile"], difference)
        | {
            "plain_our_memory_s": round(ours, 4),
            "ratio_our_memory": round(ours / times["tile"], 2),
        },
        "default_otherwise": {
            backend: {
                "s_per_mm2": round(times[backend] / mm2, 3),
                "ratio": round(per_mm2 / (times[backend] / mm2), 1),
            }
            for backend in OTHER_FUNCTIONS
            if backend in times
        },
        "sam_encoder_s": round(times["sam"], 3),
        "default_mm2": round(mm2, 4),
    }
    if "instanseg" in times:
        report["networks_1024px_s"] = {
            key: round(times[key], 3) for key in ("instanseg", "default_network")
        }
    return report


def compared(plain: float, fast: float, difference: float) -> dict[str, float]:
    return {
        "plain_s": round(plain, 4),
        "fast_s": round(fast, 4),
        "ratio": round(plain / fast, 2),
        "max_abs_diff": difference,
    }


def timed(run: Callable[[], object]) -> Candidate:
    """Return what runs something here, without gradients, and returns its seconds."""

    def candidate() -> float:
        with torch.inference_mode():
            start = time.perf_counter()
            run()
            return time.perf_counter() - start

    return candidate


def alternate(candidates: dict[str, Candidate], repeats: int) -> Times:
    """Return the median wall time of each; one round before is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats + 1):
        for name, candidate in candidates.items():
            taken[name].append(candidate())
            print(f"{name} {taken[name][-1]:.3f} s", file=sys.stderr)
    return {name: statistics.median(each[1:]) for name, each in taken.items()}


def components(
    network: EUNet3Plus, released: Released, chosen: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Compare encoder, decoder and fusion, plain and fast, on the maps of one tile; c = 32."""
    plain, fast = plain_form(network), InferenceNetwork(network).folded
    image, tokens = torch.rand(1, 3, TILE_PX, TILE_PX), torch.randn(1, 256, 64, 64)
    found = {}
    with torch.inference_mode():
        maps = network.encode(image, tokens)
        last = [x.contiguous(memory_format=torch.channels_last) for x in maps]
    slow: dict[str, Callable[[], Tensor]] = {
        "encoder": lambda: plain.encode(image, tokens)[-1],
        "decoder": lambda: plain.decoder(maps)[0],
        "fusion": lambda: plain.fuse(maps[-1], tokens),
    }
    quick: dict[str, Callable[[], Tensor]] = {
        "encoder": lambda: fast.encode(image, tokens)[-1],
        "decoder": lambda: fast.decoder(last)[0],
        "fusion": lambda: fast.fuse(last[-1], tokens),
    }
    for name in PARTS:
        times = alternate({"plain": released(name), "fast": timed(quick[name])}, chosen.repeats)
        with torch.inference_mode():
            difference = float((slow[name]() - quick[name]()).abs().max())
        found[name] = compared(times["plain"], times["fast"], difference)
    return found


def shipped() -> Precision:
    """Return the precision in which recipes train here."""
    return chosen_precision("auto", CPU)


def training(
    precision: Precision, released: Released, chosen: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Compare a step's forward and backward pass: plain in float32, and as the product trains."""
    found: dict[str, dict[str, Any]] = {}
    for width, batch in ((8, 4), (16, 2), (32, 1)) if chosen.full else ((8, 2),):
        fast = trainable(width)
        image = torch.rand(batch, 3, TILE_PX, TILE_PX)
        times = alternate(
            {
                "plain": released(f"step {width} {batch}"),
                "fast": lambda n=fast, x=image: our_step(n, x, precision),
            },
            chosen.repeats,
        )
        with torch.no_grad():
            with in_precision(precision, CPU):
                ours = fast(image)
            difference = largest_difference(plain_form(fast)(image), ours)
        row = compared(times["plain"], times["fast"], difference) | {"precision": precision}
        found[f"width {width}, batch {batch}"] = row
    return found


def our_step(network: nn.Module, image: Tensor, precision: Precision) -> float:
    """Return the seconds of a step as the product trains."""
    start = time.perf_counter()
    with in_precision(precision, CPU):
        outputs = network.train()(image)
    backward(network, outputs)
    return time.perf_counter() - start


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def peer(chosen: argparse.Namespace, released: Released) -> dict[str, Candidate]:
    """Return InstanSeg's network and the default one on 1024 x 1024 px."""
    model = nuguide.load(chosen.model)
    image = torch.rand(1, 3, 1024, 1024)
    tokens = torch.randn(1, 256, 256, 256) if model.network.reads_tokens else None
    return {
        "instanseg": released("instanseg"),
        "default_network": timed(lambda: model.network(image, tokens)),
    }


def growth(areas: tuple[float, ...], repeats: int, model: str) -> dict[str, Any]:
    """Time a model over growing areas; fit seconds = a * mm2 ** b."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for mm2 in areas:
            side = round(1000 * mm2**0.5 / TILE_MPP)
            image = Path(folder) / f"{side}.tif"
            tifffile.imwrite(image, tissue(side), tile=(256, 256), compression="zlib")
            taken = []
            for repeat in range(repeats if mm2 <= 1 else 1):
                start = time.perf_counter()
                out = Path(folder) / f"{side}-{repeat}"
                run = nuguide.segment(image, TILE_MPP, model=model, out=out)
                taken.append(time.perf_counter() - start)
            points.append(
                {
                    "mm2": (side * TILE_MPP / 1000) ** 2,
                    "s": statistics.median(taken),
                    "nuclei": nuclei_of(run.record["found"]),
                }
            )
    logs = np.log([[point["mm2"], point["s"]] for point in points])
    exponent, offset = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return {
        "points": points,
        "s_per_mm2": float(np.exp(offset)),
        "exponent": float(exponent),
    }


if __name__ == "__main__":
    main()

"""Time the released pipeline, the same function here, and the default model from file to GeoJSON.

    python benchmarks/pipeline.py                       # small sizes, minutes
    python benchmarks/pipeline.py --full --json benchmarks/results/NAME.json
    python benchmarks/pipeline.py --growth              # s against mm2, 0.06 to 10 mm2 with --full

All candidates run in one process, one after another, again and again; medians of ``--repeats``
are given, each of the second of two runs in a row. What was released runs with the C library's
own thresholds of memory, ours with those that nuguide sets (``nuguide.networks.allocator``).
Weights are random except those of the embedded model: time does not depend on them.
``--instanseg FOLDER`` adds a peer's network with random weights, from a folder made by
``pip install --no-deps --target FOLDER instanseg-torch==0.1.2 einops``.
"""

import argparse
import ctypes
import importlib.util
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import skimage
import tifffile
import torch
from plain_form import plain_form
from torch import Tensor, nn

import nuguide
from nuguide.networks.allocator import give_back_memory
from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.inference import InferenceNetwork
from nuguide.training.hardware import Precision, chosen_precision, in_precision

TILE_PX, TILE_MPP = 256, 0.25
TILES_PER_MM2 = 1e6 / (TILE_PX * TILE_MPP) ** 2
GROWTH_MM2 = (0.0625, 0.25, 1.0, 4.0, 10.0)
TRAINED = {"nuclei": 2, "distance": 1}
RELEASED = {"encoder", "plain", "instanseg"}
"""Candidates that run with the C library's own thresholds of memory."""

CPU = torch.device("cpu")
Times = dict[str, float]


def main() -> None:
    chosen = arguments()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    report: dict[str, Any] = {"machine": machine(chosen.threads)}
    if chosen.growth:
        report["growth"] = growth(GROWTH_MM2 if chosen.full else GROWTH_MM2[:3], chosen.repeats)
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
    released = EUNet3Plus(width=32, fusion="released").eval()
    plain, fast = plain_form(released), InferenceNetwork(released)
    encoder = sam_encoder()
    tile, field = torch.rand(1, 3, TILE_PX, TILE_PX), torch.rand(1, 3, 1024, 1024)
    tokens = torch.randn(1, 256, 64, 64)
    found: list[dict[str, Any]] = []
    side = 4096 if chosen.full else chosen.side
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        image = Path(folder) / "tissue.tif"
        tifffile.imwrite(image, tissue(side), tile=(256, 256), compression="zlib")
        out = Path(folder) / "out"

        def default() -> None:
            run = nuguide.segment(image, TILE_MPP, model=chosen.model, out=out / str(len(found)))
            found.append(run.record["found"])

        candidates: dict[str, Callable[[], object]] = {
            "encoder": lambda: encoder(field),
            "plain": lambda: plain(tile, tokens),
            "plain, our memory": lambda: plain(tile, tokens),
            "fast": lambda: fast(tile, tokens),
            "default": default,
        } | peer(chosen)
        times = alternate(candidates, chosen.repeats)
        difference = largest_difference(plain(tile, tokens), fast(tile, tokens))
    mm2 = (side * TILE_MPP / 1000) ** 2
    per_mm2 = (times["encoder"] + times["plain"]) * TILES_PER_MM2
    report = {
        "released_s_per_mm2": round(per_mm2, 2),
        "same_function_s_per_mm2": round((times["encoder"] + times["fast"]) * TILES_PER_MM2, 2),
        "default_s_per_mm2": round(times["default"] / mm2, 3),
        "ratio": round(per_mm2 / (times["default"] / mm2), 1),
        "tile_forward": compared(times["plain"], times["fast"], difference)
        | {
            "plain_our_memory_s": round(times["plain, our memory"], 4),
            "ratio_our_memory": round(times["plain, our memory"] / times["fast"], 2),
        },
        "sam_encoder_s": round(times["encoder"], 3),
        "default_mm2": round(mm2, 4),
        "default_nuclei": found[-1]["nuclei"],
        "share": shares(found),
        "components_s": components(released, chosen),
        "training_step": training(chosen, "32"),
        "training_step_as_shipped": training(chosen, chosen_precision("auto", CPU)),
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


def alternate(candidates: dict[str, Callable[[], object]], repeats: int) -> Times:
    """Return the median wall time of each; one round before is not counted.

    Each runs twice in a row, of which the second counts: the first finds caches and memory as its
    neighbour left them.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats + 1):
        for name, candidate in candidates.items():
            set_memory(as_released=name in RELEASED)
            candidate()
            start = time.perf_counter()
            candidate()
            taken[name].append(time.perf_counter() - start)
            print(f"{name} {taken[name][-1]:.3f} s", file=sys.stderr)
    set_memory(as_released=False)
    return {name: statistics.median(each[1:]) for name, each in taken.items()}


def set_memory(*, as_released: bool) -> None:
    """Set from which size on glibc maps a block anew each time, and how much that is free it keeps.

    nuguide sets both when it makes a network, for the whole process: that is part of what it does,
    and no part of what was released. There glibc raises them by itself, as large arrays are freed,
    to 32 and 64 MiB; nothing can let it do so again in a process where they were set.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold = -1, -3  # names in malloc.h
    kept, mapped = (64 << 20, 32 << 20) if as_released else (1 << 30, 1 << 30)
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(trim_threshold, kept)
    mallopt(mmap_threshold, mapped)
    give_back_memory()


def sam_encoder() -> nn.Module:
    """Return a SAM ViT-B image encoder of random weights, (1, 3, 1024, 1024) in."""
    from transformers import SamVisionConfig, SamVisionModel

    encoder: nn.Module = SamVisionModel(SamVisionConfig())
    return encoder.eval()


def tissue(side: int) -> np.ndarray:
    """Return (side, side, 3) uint8: the demo's picture, mirrored on and on."""
    picture = skimage.data.immunohistochemistry()
    return np.pad(picture, ((0, side), (0, side), (0, 0)), mode="symmetric")[:side, :side]


def shares(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return each stage's part of the stages' time, all runs but the first together."""
    stages = ("read", "guide", "network", "instances", "export")
    total = {stage: sum(each["stages"].get(stage, 0.0) for each in found[1:]) for stage in stages}
    return {stage: round(total[stage] / sum(total.values()), 3) for stage in stages}


def components(network: EUNet3Plus, chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Compare decoder and fusion, plain and fast, on the maps of one tile; c = 32."""
    plain, fast = plain_form(network), InferenceNetwork(network).folded
    image, tokens = torch.rand(1, 3, TILE_PX, TILE_PX), torch.randn(1, 256, 64, 64)
    found = {}
    with torch.inference_mode():
        maps = network.encode(image, tokens)
        last = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        parts: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "encoder": (
                lambda: plain.encode(image, tokens)[-1],
                lambda: fast.encode(image, tokens)[-1],
            ),
            "decoder": (lambda: plain.decoder(maps)[0], lambda: fast.decoder(last)[0]),
            "fusion": (lambda: plain.fuse(maps[-1], tokens), lambda: fast.fuse(last[-1], tokens)),
        }
        for name, (slow, quick) in parts.items():
            times = alternate({"plain": slow, "fast": quick}, chosen.repeats)
            difference = float((slow() - quick()).abs().max())
            found[name] = compared(times["plain"], times["fast"], difference)
    return found


def training(chosen: argparse.Namespace, precision: Precision) -> dict[str, dict[str, float]]:
    """Compare a step's forward and backward pass: plain in float32, and as the product trains."""
    found = {}
    for width, batch in ((8, 4), (16, 2), (32, 1)) if chosen.full else ((8, 2),):
        fast = EUNet3Plus(width=width, heads=tuple(TRAINED), dropout=0)
        plain = plain_form(fast)
        image = torch.rand(batch, 3, TILE_PX, TILE_PX)
        times = alternate(
            {
                "plain": lambda n=plain, x=image: step(n, x, "32"),
                "fast": lambda n=fast, x=image: step(n, x, precision),
            },
            chosen.repeats,
        )
        with torch.no_grad(), in_precision(precision, CPU):
            found_fast = fast(image)
        with torch.no_grad():
            difference = largest_difference(plain(image), found_fast)
        row = compared(times["plain"], times["fast"], difference) | {"precision": precision}
        found[f"width {width}, batch {batch}"] = row
    return found


def step(network: nn.Module, image: Tensor, precision: Precision) -> None:
    with in_precision(precision, CPU):
        outputs = network.train()(image)
    torch.stack([x.float().square().mean() for x in outputs.values()]).sum().backward()
    network.zero_grad(set_to_none=True)


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def peer(chosen: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return InstanSeg's network and the default one on 1024 x 1024 px, if the former is there."""
    if chosen.instanseg is None:
        return {}
    sys.path.append(str(chosen.instanseg))
    # The file alone: its package asks for more than its network needs.
    source = chosen.instanseg / "instanseg" / "utils" / "models" / "InstanSeg_UNet.py"
    spec = importlib.util.spec_from_file_location("instanseg_unet", source)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no network at {source}; see --help for how to make the folder")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.InstanSeg_UNet(
        in_channels=3, out_channels=[[2, 1, 1]], layers=[256, 128, 64, 32]
    ).eval()
    model = nuguide.load(chosen.model)
    image = torch.rand(1, 3, 1024, 1024)
    tokens = torch.randn(1, 256, 256, 256) if model.network.reads_tokens else None
    return {
        "instanseg": lambda: network(image),
        "default_network": lambda: model.network(image, tokens),
    }


def growth(areas: tuple[float, ...], repeats: int) -> dict[str, Any]:
    """Time the default model over growing areas; fit seconds = a * mm2 ** b."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for mm2 in areas:
            side = round(1000 * mm2**0.5 / TILE_MPP)
            image = Path(folder) / f"{side}.tif"
            tifffile.imwrite(image, tissue(side), tile=(256, 256), compression="zlib")
            taken = []
            for repeat in range(repeats if mm2 <= 1 else 1):
                start = time.perf_counter()
                nuguide.segment(image, TILE_MPP, out=Path(folder) / f"{side}-{repeat}")
                taken.append(time.perf_counter() - start)
            points.append({"mm2": (side * TILE_MPP / 1000) ** 2, "s": statistics.median(taken)})
    logs = np.log([[point["mm2"], point["s"]] for point in points])
    exponent, offset = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return {
        "points": points,
        "s_per_mm2": float(np.exp(offset)),
        "exponent": float(exponent),
    }


def machine(threads: int) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": psutil.cpu_count(),
        "load_before": psutil.getloadavg()[0],
        "threads": threads,
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "nuguide": nuguide.__version__,
        "commit": commit,
    }


if __name__ == "__main__":
    main()

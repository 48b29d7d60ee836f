"""Time networks on a GPU, launched kernel by kernel and as one CUDA graph, in alternation.

    python benchmarks/graphs.py --json benchmarks/results/graphs.json

Milliseconds of a pass, and those until Python may go on; medians. Students are inside, and products
are made as torch makes them by itself. ``released`` is the published network of width 32 with
random weights, tile by tile. Memory is the most that torch took, one way after the other.
"""

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import nuguide
from nuguide.backends.half import HalfNetwork
from nuguide.backends.whole import WholeNetwork, whole
from nuguide.networks.cuda_graphs import launched_singly
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import build_network

REGION_PX, TILE_PX, REPEATS = 1216, 256, 15
WAYS = {"singly": launched_singly, "graph": nullcontext}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["default", "guided", "open"])
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU; expected a CUDA device; time the cores with backends.py")
    networks = {name: whole(nuguide.load(name))[1] for name in chosen.models}
    published = InferenceNetwork(build_network("eunet3plus", width=32, fusion="released").eval())
    networks["released"] = WholeNetwork(published, None, bgr=False)
    report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    for name, network in networks.items():
        for side in (TILE_PX,) if network.tile_px else (REGION_PX, TILE_PX):
            for precision, each in (("float32", network), ("bfloat16", HalfNetwork(network))):
                row = measured(each.cuda(), side)
                each.cpu()  # and its graphs are gone
                report["rows"].append({"model": name, "px": side, "precision": precision, **row})
                print(json.dumps(report["rows"][-1]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


@torch.inference_mode()
def measured(network: nn.Module, side: int) -> dict[str, Any]:
    """Return what was measured of a network on squares of ``side`` px."""
    image = torch.rand(1, side, side, 3, device="cuda").movedim(-1, 1)
    tokens = torch.randn(1, 256, side // 4, side // 4, device="cuda")
    given = (image, tokens) if network.reads_tokens else (image,)
    outputs, row, taken = {}, {}, {way: [] for way in WAYS}
    for way, launched in WAYS.items():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        with launched():
            for _ in range(3):
                outputs[way] = network(*given)
        row[f"{way}_peak_mib"] = round(torch.cuda.max_memory_reserved() / 2**20)
    for way, launched in list(WAYS.items()) * REPEATS:
        with launched():
            taken[way].append(timed(network, given))
    for way, pairs in taken.items():
        whole_s, host_s = (statistics.median(each) for each in zip(*pairs, strict=True))
        row |= {f"{way}_ms": round(1000 * whole_s, 3), f"{way}_host_ms": round(1000 * host_s, 3)}
    pairs = [(x, outputs["graph"][head]) for head, x in outputs["singly"].items()]
    row["difference"] = max(float((one - other).abs().max()) for one, other in pairs)
    return row | {"graphs": len(network.graphs)}


def timed(network: nn.Module, given: tuple[Tensor, ...]) -> tuple[float, float]:
    """Return the seconds of a pass, and those until the call returns."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    network(*given)
    returned = time.perf_counter()
    torch.cuda.synchronize()
    return time.perf_counter() - start, returned - start


if __name__ == "__main__":
    main()

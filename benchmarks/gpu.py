"""Time a model from file to GeoJSON on a GPU, area by area, beside the same machine's cores.

    python benchmarks/gpu.py --json benchmarks/results/gpu.json

The picture is that of benchmarks/runs.py, uncompressed. The first run on each area, in which
the device makes itself ready, is told apart; the median of the others is given. The cores' time is
of the smallest area alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import tifffile
import torch
from runs import TILE_MPP, machine, nuclei_of, shares, tissue

import nuguide

AREAS_MM2 = (0.25, 1.0, 10.0)


def main() -> None:
    chosen = arguments()
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU; expected a CUDA device; time the cores with pipeline.py")
    report: dict[str, Any] = {
        "machine": {**machine(torch.get_num_threads()), "gpu": torch.cuda.get_device_name()},
        "model": chosen.model,
        "gpu": [],
        "cpu": [timed(chosen.mm2[0], chosen.model, "cpu", chosen.repeats)],
    }
    for mm2 in chosen.mm2:
        report["gpu"].append(timed(mm2, chosen.model, "auto", chosen.repeats))
        print(json.dumps(report["gpu"][-1]), flush=True)
        report["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
        if chosen.json:  # a machine that is lent may be taken back
            chosen.json.write_text(json.dumps(report, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--mm2", type=float, nargs="+", default=AREAS_MM2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def timed(mm2: float, model: str, device: str, repeats: int) -> dict[str, Any]:
    """Segment a picture of an area into a run folder, once more than ``repeats``."""
    side = round(1000 * mm2**0.5 / TILE_MPP)
    taken, found = [], []
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "tissue.tif"
        tifffile.imwrite(image, tissue(side), tile=(256, 256))
        for repeat in range(repeats + 1):
            start = time.perf_counter()
            out = Path(folder) / str(repeat)
            run = nuguide.segment(image, TILE_MPP, model=model, device=device, out=out)
            taken.append(time.perf_counter() - start)
            found.append(run.record["found"])
    true_mm2 = (side * TILE_MPP / 1000) ** 2
    return {
        "mm2": true_mm2,
        "nuclei": nuclei_of(found[-1]),
        "first_s": round(taken[0], 3),
        "s": round(statistics.median(taken[1:]), 3),
        "s_per_mm2": round(statistics.median(taken[1:]) / true_mm2, 3),
        "share": shares(found),
    }


if __name__ == "__main__":
    main()

"""Time the backends of a model on a region, in alternation, and compare what they compute.

    python benchmarks/backends.py                       # default and guided, what is installed
    python benchmarks/backends.py --models default --side 640 --backends torch onnx bfloat16
    python benchmarks/backends.py --json benchmarks/results/NAME.json

Guide and network are timed together, without reading and decoding. CPU seconds are those of this
process, so that they mean something on a busy machine too; wall seconds beside them. ``opening``
is what the first pass takes beyond the others: writing, reading or compiling the graph. Memory is
the peak of a process that computes with that backend alone (``--memory``, which takes longer).
``compile`` needs a compiler and is only timed when it is named.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import nuguide
from nuguide.backends.registry import Backend, is_installed, versions_of, with_backend
from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.decoding import Maps
from nuguide.segmentation.predictor import predict_maps

REGION_PX = 1280  # a core of 1024 px with its halo


def main() -> None:
    chosen = arguments()
    report: dict[str, Any] = {
        "machine": {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__},
        "side_px": chosen.side,
        "threads": chosen.threads,
        "models": {},
    }
    for name in chosen.models:
        rows = measured(name, chosen)
        report["models"][name] = rows
        print(f"{name}, {chosen.side} px, {chosen.threads} thread(s)")
        print(f"{'':10} {'CPU s':>7} {'wall s':>7} {'opening':>8} {'MiB':>6} {'difference':>11}")
        for backend, row in rows.items():
            print(
                f"{backend:10} {row['cpu_s']:7.3f} {row['wall_s']:7.3f} {row['opening_s']:8.1f} "
                f"{row.get('peak_mib', 0):6.0f} {row['difference']:11.1e}"
            )
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    quick = [each.value for each in Backend if each is not Backend.COMPILE and is_installed(each)]
    parser.add_argument("--models", nargs="+", default=["default", "guided"])
    parser.add_argument("--backends", nargs="+", default=quick, choices=[*Backend])
    parser.add_argument("--side", type=int, default=REGION_PX)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measured(name: str, chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return what was measured of each backend of a model."""
    torch.set_num_threads(chosen.threads)
    rgb = noise(chosen.side)
    plain = nuguide.load(name)
    models: dict[str, Model] = {}
    for backend in dict.fromkeys(["torch", *chosen.backends]):
        try:
            models[backend] = with_backend(plain, backend, "cpu")
        except InputError as error:
            print(f"{backend}: {error}")
    first: dict[str, float] = {}
    maps: dict[str, Maps] = {}
    wall: dict[str, list[float]] = {backend: [] for backend in models}
    cpu: dict[str, list[float]] = {backend: [] for backend in models}
    for round_ in range(chosen.repeats + 1):
        for backend, model in models.items():
            start = time.perf_counter(), time.process_time()
            maps[backend] = predict_maps(model, rgb)
            taken = time.perf_counter() - start[0], time.process_time() - start[1]
            if round_ == 0:
                first[backend] = taken[1]
            else:
                wall[backend].append(taken[0])
                cpu[backend].append(taken[1])
    rows: dict[str, dict[str, Any]] = {}
    for backend in models:
        median = statistics.median(cpu[backend])
        rows[backend] = {
            "cpu_s": round(median, 4),
            "wall_s": round(statistics.median(wall[backend]), 4),
            "opening_s": round(max(0.0, first[backend] - median), 2),
            "difference": difference(maps["torch"], maps[backend]),
            "versions": versions_of(backend),
        }
        if chosen.memory:
            rows[backend]["peak_mib"] = peak(name, backend, chosen)
    return rows


def difference(one: Maps, other: Maps) -> float:
    return float(np.abs(one.foreground - other.foreground).max())


def peak(name: str, backend: str, chosen: argparse.Namespace) -> float:
    """Return the peak memory, MiB, of a new process that computes twice with one backend."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(alone, (name, backend, chosen.side, chosen.threads))


def alone(name: str, backend: str, side: int, threads: int) -> float:
    torch.set_num_threads(threads)
    model = with_backend(nuguide.load(name), backend, "cpu")
    for _ in range(2):
        predict_maps(model, noise(side))
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def noise(side: int) -> NDArray[np.uint8]:
    """Return pixels, (side, side, 3) uint8: time does not depend on what they show."""
    return np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)


if __name__ == "__main__":
    main()

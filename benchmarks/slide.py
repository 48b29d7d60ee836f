"""Time and memory of whole slides: is memory flat, where does the time go, do workers pay?

    python benchmarks/slide.py memory [--sides 20000 100000] [--model stub]
    python benchmarks/slide.py workers [--sides 8192] [--model default]

`memory` segments slides of growing side in this process' own threads; `stub` is a network that
takes what is dark for a nucleus, so that a slide of 100,000 px a side (30 % tissue, over a million
nuclei) goes through in minutes. `workers` compares one worker with two, one thread each.

Slides are synthetic (tests/fixtures/large_slide.py): their tiles repeat, so no disk is measured.
Each row runs in a process of its own; its peak is the resident memory of that process and, with
workers, the largest of them. Seconds are wall time from opening the slide to run.toml; shares are
of the time spent in all stages together, which overlap. JSON goes to benchmarks/results/.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fixtures.dark_model import dark_model
from fixtures.large_slide import write_large
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.segmentation.batch import Batch
from nuguide.segmentation.cluster import ClusterEngine, RemoteModel, local_workers
from nuguide.segmentation.engine import Engine, local_engine
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.result import Run

RESULTS = Path(__file__).parent / "results"
STAGES = ("read", "guide", "network", "instances", "export")
MEMORY_GROWTH = 1.10
MEMORY_MIB = 3 * 1024
SPEED_UP = 1.7


@dataclass(frozen=True)
class Row:
    """One slide, segmented once."""

    side: int
    model: str
    workers: int
    tissue_mm2: float
    nuclei: int
    seconds: float
    peak_mib: float
    stages: dict[str, float]


def main() -> None:
    """Measure, print the table and the marks, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["memory", "workers"])
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--model")
    chosen = parser.parse_args()
    workers = [0] if chosen.what == "memory" else [1, 2]
    sides = chosen.sides or ([20_000, 100_000] if chosen.what == "memory" else [8192])
    model = chosen.model or ("stub" if chosen.what == "memory" else "default")
    if chosen.what == "workers" and model == "stub":
        parser.error("workers load a model by its name: give one, not stub")

    heads = f"{'side px':>9}{'workers':>9}{'mm2':>8}{'nuclei':>11}{'s/mm2':>8}{'peak MiB':>10}"
    print(heads + "".join(f"{stage:>11}" for stage in STAGES))
    rows = []
    with TemporaryDirectory() as place:
        for side in sides:
            slide = Path(place) / f"{side}.svs"
            apart(write_large, slide, side)
            for count in workers:
                out = Path(place) / f"out-{side}-{count}"
                rows.append(apart(measured, slide, out, model, count, side))
                print(line(rows[-1]), flush=True)
    marks = marks_of(rows)
    for mark in marks:
        print(mark)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"slide-{chosen.what}-{model.replace('/', '_')}.json"
    path.write_text(json.dumps({"rows": [asdict(row) for row in rows], "marks": marks}, indent=1))


def apart(call, *arguments):
    """Run a call in a process of its own: its memory is its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(call, *arguments).result()


def measured(slide: Path, out: Path, name: str, workers: int, side: int) -> Row:
    model = dark_model() if name == "stub" else load(name)
    with computing(model, name, workers) as engine:
        start = time.perf_counter()
        batch = Batch([(slide, out)], lambda *pair: begin(*pair, model, Settings()), engine)
        (ended,) = batch.run()
        seconds = time.perf_counter() - start
    if not isinstance(ended.outcome, Run):
        raise ended.outcome
    if not ended.outcome.count:
        raise SystemExit(f"{name} found no nucleus; expected some, or its time says nothing")
    record = ended.outcome.record
    peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
    if workers:
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return Row(
        side=side,
        model=name,
        workers=workers,
        tissue_mm2=record["configuration"]["regions"]["area_mm2"],
        nuclei=ended.outcome.count,
        seconds=seconds,
        peak_mib=max(peaks) / 1024,
        stages=record["found"]["stages"],
    )


@contextmanager
def computing(model: Model, name: str, workers: int) -> Iterator[Engine]:
    if not workers:
        yield local_engine(model, "cpu")
        return
    torch.set_num_threads(1)
    with local_workers(workers) as client:
        remote = RemoteModel(name, model.card.sha256, "cpu", cores=1)
        # Importing and loading are not what is measured.
        client.run(load, name)
        yield ClusterEngine(client, remote)


def line(row: Row) -> str:
    spent = sum(row.stages.values())
    shares = "".join(f"{row.stages.get(stage, 0.0) / spent:>11.1%}" for stage in STAGES)
    return (
        f"{row.side:>9,}{row.workers:>9}{row.tissue_mm2:>8.1f}{row.nuclei:>11,}"
        f"{row.seconds / row.tissue_mm2:>8.2f}{row.peak_mib:>10.0f}{shares}"
    )


def marks_of(rows: list[Row]) -> list[str]:
    marks = []
    by_side = sorted((row for row in rows if not row.workers), key=lambda row: row.side)
    if len(by_side) > 1:
        growth = by_side[-1].peak_mib / by_side[0].peak_mib
        marks.append(
            f"peak memory, largest over smallest slide: {growth:.3f} (mark: {MEMORY_GROWTH:.2f})"
        )
    if by_side:
        worst = max(row.peak_mib for row in by_side)
        marks.append(f"peak memory: {worst:.0f} MiB (mark: under {MEMORY_MIB} MiB)")
    for one in (row for row in rows if row.workers == 1):
        for two in (row for row in rows if row.workers == 2 and row.side == one.side):
            gain = one.seconds / two.seconds
            marks.append(f"two workers over one, {one.side:,} px: {gain:.2f} (mark: {SPEED_UP})")
    return marks


if __name__ == "__main__":
    main()

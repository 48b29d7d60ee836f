"""Time and memory of writing nuclei: GeoJSON for QuPath and GeoParquet, from a stream.

    python benchmarks/export.py [--nuclei 1000000] [--json FILE]

The nuclei are synthetic, made piece by piece as a slide's fragments would come; their outlines
have as many vertices as those found in a real image at 0.25 um/px (about 50). Each export runs in
a process of its own, so that its peak resident memory is its own; making the nuclei counts in
neither the time nor, since only one piece exists at a time, much in the memory.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import shapely

from nuguide.export.csv import write_csv
from nuguide.export.geojson import write_geojson
from nuguide.export.table import write_table
from nuguide.nuclei.morphometry import described

MPP = 0.25
PIECE = 5_000
VERTICES = 49
SIDE_PX = 100_000

EXPORTS: dict[str, Callable[[Iterable[pa.Table], Path], None]] = {
    "nuclei.geojson.gz": lambda pieces, path: write_geojson(pieces, path, MPP),
    "nuclei.parquet": write_table,
    "nuclei.csv": write_csv,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{options.nuclei:,} nuclei\n{'file':<20}{'s':>8}{'peak MiB':>10}{'file MiB':>10}")
    for name in EXPORTS:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            row = process.submit(measured, name, options.nuclei).result()
        rows.append(row)
        print(f"{name:<20}{row['seconds']:>8.1f}{row['peak_mib']:>10.0f}{row['file_mib']:>10.0f}")
    if options.json:
        options.json.write_text(json.dumps({"nuclei": options.nuclei, "exports": rows}, indent=1))


def measured(name: str, nuclei: int) -> dict[str, float | str]:
    """Write one file; return its wall time without that of making the nuclei, and the peak."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        stream = Stream(nuclei)
        start = time.perf_counter()
        EXPORTS[name](stream, path)
        seconds = time.perf_counter() - start - stream.seconds
        per_mib = 1 << (20 if sys.platform == "darwin" else 10)
        return {
            "file": name,
            "seconds": round(seconds, 2),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mib, 1),
            "file_mib": round(path.stat().st_size / (1 << 20), 1),
        }


class Stream:
    """Nuclei in pieces, and the seconds it took to make them."""

    def __init__(self, nuclei: int) -> None:
        self.nuclei = nuclei
        self.seconds = 0.0

    def __iter__(self) -> Iterator[pa.Table]:
        for number, first in enumerate(range(0, self.nuclei, PIECE)):
            start = time.perf_counter()
            piece = synthetic(min(PIECE, self.nuclei - first), number)
            self.seconds += time.perf_counter() - start
            yield piece


def synthetic(count: int, region: int) -> pa.Table:
    """Return nuclei of 4 to 12 um, wavy as outlines are, anywhere on the slide."""
    rng = np.random.default_rng(region)
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    radius = rng.uniform(8, 24, (count, 1)) * (1 + 0.05 * rng.standard_normal((count, VERTICES)))
    centre = rng.uniform(50, SIDE_PX - 50, (count, 1, 2))
    points = centre + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return described(
        shapely.polygons(points),
        MPP,
        od=rng.uniform(0.1, 1.2, (count, 2)),
        confidence=rng.uniform(0.5, 1.0, count),
        image_sha256="synthetic",
        region=region,
    )


if __name__ == "__main__":
    main()

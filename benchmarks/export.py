"""Time and memory of writing nuclei: GeoJSON for QuPath and GeoParquet, from a stream.

    python benchmarks/export.py [--nuclei 1000000] [--json FILE]

The nuclei are synthetic; their outlines have as many vertices as those found in a real image at
0.25 um/px (about 50). They lie in fragments, as those of a slide do, which are made beforehand and
read one by one: reading counts in the time, since writing goes on beside it. Each export runs in a
process of its own, so that its peak resident memory is its own.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nuguide.export.csv import write_csv
from nuguide.export.geojson import write_geojson
from nuguide.export.table import write_table
from nuguide.nuclei.morphometry import described
from nuguide.nuclei.polygons import Polygons

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
    with TemporaryDirectory() as place:
        fragments = made(options.nuclei, Path(place))
        for name in EXPORTS:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                row = process.submit(measured, name, fragments).result()
            rows.append(row)
            print(
                f"{name:<20}{row['seconds']:>8.1f}{row['peak_mib']:>10.0f}{row['file_mib']:>10.0f}"
            )
    if options.json:
        options.json.write_text(json.dumps({"nuclei": options.nuclei, "exports": rows}, indent=1))


def made(nuclei: int, folder: Path) -> list[Path]:
    """Write the nuclei in fragments; return these in their order."""
    fragments = []
    for number, first in enumerate(range(0, nuclei, PIECE)):
        fragments.append(folder / f"{number}.parquet")
        pq.write_table(synthetic(min(PIECE, nuclei - first), number), fragments[-1])
    return fragments


def measured(name: str, fragments: list[Path]) -> dict[str, float | str]:
    """Read fragments and write one file; return the wall time of that, and the peak."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        start = time.perf_counter()
        EXPORTS[name]((pq.read_table(fragment) for fragment in fragments), path)
        seconds = time.perf_counter() - start
        per_mib = 1 << (20 if sys.platform == "darwin" else 10)
        return {
            "file": name,
            "seconds": round(seconds, 2),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mib, 1),
            "file_mib": round(path.stat().st_size / (1 << 20), 1),
        }


def synthetic(count: int, region: int) -> pa.Table:
    """Return nuclei of 4 to 12 um, wavy as outlines are, anywhere on the slide."""
    rng = np.random.default_rng(region)
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    radius = rng.uniform(8, 24, (count, 1)) * (1 + 0.05 * rng.standard_normal((count, VERTICES)))
    centre = rng.uniform(50, SIDE_PX - 50, (count, 1, 2))
    points = centre + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    ends = np.arange(count + 1) * (VERTICES + 1)
    return described(
        Polygons(np.concatenate([points, points[:, :1]], axis=1).reshape(-1, 2), ends),
        MPP,
        od=rng.uniform(0.1, 1.2, (count, 2)),
        confidence=rng.uniform(0.5, 1.0, count),
        image_sha256="synthetic",
        region=region,
    )


if __name__ == "__main__":
    main()

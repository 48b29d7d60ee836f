"""A run that is killed at any moment and started again ends like one that was not."""

import hashlib
import multiprocessing
import random
import runpy
import time
from pathlib import Path

import pytest

from fixtures.slides import write_tiled_tiff
from fixtures.tissue import draw_tissue

SCRIPT = Path(__file__).parents[1] / "fixtures" / "dark_run.py"

# Processes come from a server that has imported everything once, and start in milliseconds.
SERVED = multiprocessing.get_context("forkserver")
SERVED.set_forkserver_preload(["torch", "nuguide.segmentation.run"])


def start(slide: Path, out: Path) -> multiprocessing.process.BaseProcess:
    call = {"path_name": str(SCRIPT), "init_globals": {"SLIDE": str(slide), "OUT": str(out)}}
    process = SERVED.Process(target=runpy.run_path, kwargs=call)
    process.start()
    return process


def digests(out: Path) -> dict[str, str]:
    """Digest what must be equal in every run: all but times and pictures."""
    names = ["nuclei.parquet", "nuclei.geojson.gz"]
    files = [out / name for name in names]
    files += sorted(path for path in (out / "labels.ome.zarr").rglob("*") if path.is_file())
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.mark.parametrize(
    "kills", [pytest.param(20, marks=pytest.mark.slow), pytest.param(4)], ids=str
)
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(
    tmp_path: Path, kills: int
) -> None:
    rgb, _ = draw_tissue(288, 384, mpp=0.5, per_mm2=2500, seed=5)
    slide = write_tiled_tiff(tmp_path / "slide.tif", rgb, mpp=0.5, compression="zlib")
    start(slide, tmp_path / "first").join()  # the server has imported everything now
    began = time.perf_counter()
    whole = start(slide, tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    takes = time.perf_counter() - began

    moments = random.Random(kills)
    killed, out = 0, tmp_path / "killed"
    while killed < kills:
        process = start(slide, out)
        process.join(moments.uniform(0.0, 0.7 * takes))
        process.kill()
        process.join()
        assert process.exitcode in (-9, 0)
        killed += 1
        if process.exitcode == 0 and killed < kills:  # it got through: kill another one
            out = tmp_path / f"killed-{killed}"
    last = start(slide, out)
    last.join()
    assert last.exitcode == 0
    assert digests(out) == digests(tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}

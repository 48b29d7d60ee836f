"""What timed runs have in common: their picture, what they found, and the machine."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import skimage

import nuguide

TILE_MPP = 0.25


def tissue(side: int) -> np.ndarray:
    """Return (side, side, 3) uint8: the demo's picture, mirrored on and on."""
    picture = skimage.data.immunohistochemistry()
    return np.pad(picture, ((0, side), (0, side), (0, 0)), mode="symmetric")[:side, :side]


def nuclei_of(found: dict[str, Any]) -> int:
    """Return how many nuclei a run found.

    Raises
    ------
    SystemExit
        If there is none: what was timed did no work on nuclei.
    """
    if not found["nuclei"]:
        raise SystemExit("a run found no nucleus; expected some, or its time says nothing")
    return int(found["nuclei"])


def shares(found: list[dict[str, Any]]) -> dict[str, float]:
    """Return each stage's part of the stages' time, all runs but the first together."""
    stages = ("read", "guide", "network", "instances", "export")
    total = {stage: sum(each["stages"].get(stage, 0.0) for each in found[1:]) for stage in stages}
    return {stage: round(total[stage] / sum(total.values()), 3) for stage in stages}


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

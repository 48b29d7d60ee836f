"""The fastest backend on this machine: timed once, then remembered."""

import hashlib
import json
import os
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from nuguide import __version__
from nuguide.backends.registry import RUNTIMES, Backend, is_installed, with_backend
from nuguide.documents import read_json
from nuguide.errors import NuguideError
from nuguide.files import cache_folder, keep
from nuguide.guides.fields import encode_extent
from nuguide.models.model import Model

SIDE_PX = 1280
"""Side of what is timed: a region with its halo."""

ROUNDS = 3
"""Of which the first warms up; the fastest of the others counts."""

WORTH = 0.95
"""A backend is taken for torch only where it needs less than this share of torch's time."""

# Compiling takes seconds for each size, and bfloat16 is another function: neither is chosen for
# anybody.
_CANDIDATES = (Backend.TORCH, Backend.ONNX, Backend.OPENVINO)

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Circumstances:
    """All that a timing depends on, as far as it can be known."""

    model_sha256: str
    side_px: int
    threads: int
    cores: int
    processor: str
    versions: dict[str, str]


def fastest(model: Model, side_px: int = SIDE_PX) -> Backend:
    """Return the fastest of the installed backends on the CPU.

    Parameters
    ----------
    model : Model
        As ``nuguide.load`` returns it.
    side_px : int
        Side of the square that is timed, px of the model.

    Notes
    -----
    Timings are kept in the user's cache (``$NUGUIDE_CACHE``, or where the system has it), by the
    model's digest, versions, processor and threads. A backend that fails is passed over.
    """
    installed = [backend for backend in _CANDIDATES if is_installed(backend)]
    if installed == [Backend.TORCH]:
        return Backend.TORCH
    file = _file(circumstances(model, side_px))
    seconds = _remembered(file)
    if seconds is None:
        seconds = timed(model, installed, side_px)
        _remember(file, seconds)
    return chosen(seconds)


def chosen(seconds: dict[str, float]) -> Backend:
    """Choose by seconds of each backend; torch unless another is clearly faster."""
    best = min(seconds, key=lambda name: seconds[name])
    clearly = seconds[best] < WORTH * seconds[Backend.TORCH]
    return Backend(best) if clearly else Backend.TORCH


def circumstances(model: Model, side_px: int) -> Circumstances:
    """Return what a timing on this machine depends on."""
    packages = ["torch", *(RUNTIMES[each] for each in RUNTIMES if is_installed(each))]
    return Circumstances(
        model.card.sha256,
        side_px,
        torch.get_num_threads(),
        os.cpu_count() or 1,
        f"{platform.machine()} {_processor()} {torch.backends.cpu.get_cpu_capability()}",
        {"nuguide": __version__, **{name: version(name) for name in packages}},
    )


def _processor() -> str:
    """Return the processor's name; on Linux Python itself knows none, or only its family."""
    with suppress(OSError):
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def timed(model: Model, backends: list[Backend], side_px: int) -> dict[str, float]:
    """Time a guide and network on a square of noise, backend after backend, s."""
    rgb = np.random.default_rng(0).integers(0, 255, (side_px, side_px, 3), np.uint8)
    if model.card.tile_px:
        rgb = rgb[: model.card.tile_px, : model.card.tile_px]
    prepared = {backend: with_backend(model, backend, "cpu") for backend in backends}
    taken: dict[str, list[float]] = {backend: [] for backend in backends}
    for _ in range(ROUNDS):
        for backend, each in list(prepared.items()):
            start = time.perf_counter()
            try:
                _compute(each, rgb)
            except NuguideError:
                if backend is Backend.TORCH:
                    raise
                del prepared[backend], taken[backend]
                continue
            taken[backend].append(time.perf_counter() - start)
    return {backend: min(each[1:]) for backend, each in taken.items()}


@torch.inference_mode()
def _compute(model: Model, rgb: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    image = torch.from_numpy(rgb.copy()).movedim(-1, 0)[None].float() / 255
    tokens = None
    if model.guide is not None:
        tokens = encode_extent(model.guide, rgb, model.card.mpp).values
    model.network(image, tokens)


def _file(where: Circumstances) -> Path:
    key = hashlib.sha256(json.dumps(asdict(where), sort_keys=True).encode()).hexdigest()
    return cache_folder("backends") / f"{key[:32]}.json"


def _remembered(file: Path) -> dict[str, float] | None:
    """Return the timings of a file; None if there are none that make sense."""
    try:
        read = read_json(file)
        seconds = {str(Backend(name)): float(taken) for name, taken in read.items()}
    except (ValueError, TypeError, AttributeError, ArithmeticError):
        return None
    return seconds if Backend.TORCH in seconds else None


def _remember(file: Path, seconds: dict[str, float]) -> None:
    keep(file, json.dumps(seconds).encode())

"""One call on the GPU machine: as many runs as the time holds, each going on where it was."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nuguide import __version__
from nuguide.errors import InputError
from nuguide.files import make_folder, replacing
from nuguide.training.gpu.pieces import write_pieces
from nuguide.training.gpu.plan import Pack, read_pack
from nuguide.training.gpu.run import Run, State
from nuguide.training.gpu.scoring import Scorer, workers_for
from nuguide.training.gpu.tissue import build_guide, read_tissue, read_validation

SCORES_FILE = "scores.json"

RESERVE = 20.0
"""Seconds that the last validation and the writing of the results may take."""

Say = Callable[[str], None]


def run_session(
    folder: Path,
    runs: Path,
    out: Path,
    seconds: float,
    *,
    run_seconds: float | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
) -> None:
    """Train what a pack asks for, within a time.

    Parameters
    ----------
    folder : Path
        The pack.
    runs : Path
        Keeps each run's state from call to call.
    out : Path
        Gets ``scores.json`` and the weights in pieces, of what was reached so far.
    seconds : float
        Time of this call, from its start, all in all.
    run_seconds : float, optional
        Time of each run over all calls; None: this call's, shared equally. The same in every call.
    device : str
        ``auto`` takes a GPU if there is one.
    say : callable
        Told in a line what happens.

    Raises
    ------
    NuguideError
        If the pack is damaged, a folder cannot be written, or a loss is not finite.
    """
    began = time.monotonic()
    chosen = _device(device)
    pack = read_pack(folder)
    make_folder(runs, "give another --runs")
    reserve = min(RESERVE, seconds / 4)
    budget = run_seconds or _remembered(runs, (seconds - reserve) / len(pack.recipes))
    tissue, validation = read_tissue(pack, chosen), read_validation(pack)
    say(f"{len(pack.recipes)} runs of {budget:.0f} s on {_device_name(chosen)}")
    scorer = Scorer(validation, pack.recipes[0].mpp, workers_for(os.cpu_count() or 1))
    results: list[dict[str, Any]] = []
    states: dict[str, State] = {}
    try:
        for recipe in pack.recipes:
            state_file = runs / f"{recipe.name}.pt"
            if time.monotonic() > began + seconds - reserve and not state_file.is_file():
                say(f"{recipe.name}: no time left; call again")
                results.append({"name": recipe.name, "finished": False})
                _write(results, states, out)
                continue
            guide = build_guide(pack, recipe, chosen)
            run = Run(recipe, tissue, guide, scorer, budget, state_file)
            if not run.is_finished:
                run.train(began + seconds - reserve)
            if run.best is not None:
                states[recipe.name] = run.best
            results.append(_result(pack, run, chosen))
            say(_line(results[-1]))
            _write(results, states, out)
    finally:
        scorer.close()


def _device(name: str) -> torch.device:
    """Return a device that works; on a GPU, let it look for its fastest convolutions."""
    best = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(best if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise InputError(
            f"--device {name!r} cannot be used ({str(error).splitlines()[0]}); expected auto, cpu, "
            "cuda or cuda:N of this machine; leave it out"
        ) from error
    torch.backends.cudnn.benchmark = device.type == "cuda"
    return device


def _remembered(runs: Path, seconds: float) -> float:
    """Return the budget of the first call on these runs: the schedules go on by it."""
    file = runs / "budget.json"
    if file.is_file():
        return float(json.loads(file.read_text(encoding="utf-8"))["run_seconds"])
    with replacing(file, "give another --runs") as aside:
        aside.write_text(json.dumps({"run_seconds": seconds}), encoding="utf-8")
    return seconds


def _result(pack: Pack, run: Run, device: torch.device) -> dict[str, Any]:
    progress = run.progress
    best = max(progress.history, key=lambda each: each["aji"], default=None)
    return {
        "name": run.recipe.name,
        "recipe": next(r for r in pack.values["recipes"] if r["name"] == run.recipe.name),
        "finished": run.is_finished,
        "steps": progress.step,
        "seconds": progress.seconds,
        "budget_seconds": run.budget,
        "precision": run.precision,
        "crops": progress.step * run.recipe.batch,
        "n_images": len(run.tissue.images),
        "parameters": sum(each.numel() for each in run.network.parameters()),
        "data": pack.values["data"],
        "best": best,
        "images": progress.images,
        "history": progress.history,
        "losses": progress.losses,
        "device": _device_name(device),
        "versions": {
            "nuguide": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _line(result: dict[str, Any]) -> str:
    best = result["best"]
    shown = "not validated yet" if best is None else f"AJI {best['aji']:.4f} PQ {best['pq']:.4f}"
    state = "finished" if result["finished"] else "goes on with the next call"
    speed = result["crops"] / max(result["seconds"], 1e-9)
    return (
        f"{result['name']}: {state}; {result['steps']} steps in {result['seconds']:.0f} s "
        f"({speed:.0f} crops/s); best {shown}"
    )


def _write(results: list[dict[str, Any]], states: dict[str, State], out: Path) -> None:
    """Write what there is after every run: a call may be cut short."""
    places = write_pieces(states, out)
    rows = [{**each, "weights": places.get(each["name"], [])} for each in results]
    with replacing(out / SCORES_FILE, "give another --out") as aside:
        aside.write_text(json.dumps(rows, indent=1, allow_nan=False), encoding="utf-8")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()

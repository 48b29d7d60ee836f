"""One call on the GPU machine: as many runs as the time holds, each going on where it was."""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from nuguide import __version__
from nuguide.documents import read_json
from nuguide.errors import InputError
from nuguide.files import make_folder, replacing
from nuguide.training.gpu.pieces import write_pieces
from nuguide.training.gpu.plan import Pack, read_pack
from nuguide.training.gpu.run import Run
from nuguide.training.gpu.scoring import Scorer, workers_for
from nuguide.training.gpu.state import ADVICE, StateFile
from nuguide.training.gpu.tissue import build_guide, read_tissue, read_validation

SCORES_FILE = "scores.json"

RESERVE = 20.0
"""Seconds that the last validation and the writing of the results may take."""

BESIDE = 10.0
"""Seconds of a run beside its training: its guide's tokens, scorers that start and end.

On an H200, with six images of validation, they were 8.
"""

Say = Callable[[str], None]

Result = dict[str, Any]
"""What ``scores.json`` says of a run."""


def run_session(
    folder: Path,
    runs: Path,
    out: Path,
    seconds: float,
    *,
    run_seconds: Mapping[str, float] | None = None,
    by_steps: bool = False,
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
    run_seconds : dict of str to float, optional
        Time of runs over all calls by name, and under the empty name that of all others; None or
        empty: this call's, shared equally. The same in every call.
    by_steps : bool
        Give each run the steps of its recipe in place of a time.
    device : str
        ``auto`` takes a GPU if there is one.
    say : callable
        Told in a line what happens.

    Raises
    ------
    NuguideError
        If the pack or a state is damaged, a state is that of another run, a time is that of no
        run, a folder cannot be written, or a loss is not finite.
    """
    ends = time.monotonic() + seconds - min(RESERVE, seconds / 4)
    chosen = _device(device)
    make_folder(runs, ADVICE)
    names = [recipe.name for recipe in read_pack(folder).recipes]
    if by_steps:
        budgets, told = dict.fromkeys(names), "their recipes' steps"
    else:
        share = share_of(ends - time.monotonic(), len(names))
        budgets = _budgets(names, run_seconds or {"": _remembered(runs, share)})
        told = " and ".join(dict.fromkeys(f"{budget:.0f} s" for budget in budgets.values()))
    say(f"{len(names)} runs of {told} on {_device_name(chosen)}")
    bench = Bench(folder, runs, budgets, ends, chosen)
    results: list[Result] = []
    for name in names:
        results.append(bench.train(name))
        say(_line(results[-1]))
        _write(results, bench.states, out)


def share_of(seconds: float, runs: int) -> float:
    """Return the training that each of some runs has room for, s."""
    share = seconds / runs
    return share - min(BESIDE, share / 4)


class Bench:
    """What the runs of a call share: a device with the tissue on it.

    Parameters
    ----------
    folder, runs : Path
        The pack, and what keeps the runs' states.
    budgets : dict of str to float or None
        Seconds of each run, by its name; None: its recipe's steps.
    ends : float
        The ``time.monotonic()`` at which training stops.
    device : torch.device
        Where.

    Raises
    ------
    InputError, OutputError
        If the pack or a state is damaged, or a state is that of another run: before any training.
    """

    def __init__(
        self,
        folder: Path,
        runs: Path,
        budgets: Mapping[str, float | None],
        ends: float,
        device: torch.device,
    ):
        self.budgets, self.ends, self.device = budgets, ends, device
        self.pack = read_pack(folder)
        self.states = {
            values["name"]: StateFile(
                runs / f"{values['name']}.pt", values, self.pack.digest(values["name"])
            )
            for values in self.pack.values["recipes"]
        }
        for state in self.states.values():
            if state.is_there:
                state.read()
        self.recipes = {recipe.name: recipe for recipe in self.pack.recipes}
        self.tissue = read_tissue(self.pack, self.device)
        self.validation = read_validation(self.pack)

    def train(self, name: str) -> Result:
        """Train a run until its budget or the time is used up; return what it reached."""
        recipe, state_file = self.recipes[name], self.states[name]
        if time.monotonic() > self.ends and not state_file.is_there:
            return {"name": name, "finished": False}
        guide = build_guide(self.pack, recipe, self.device)
        workers = workers_for(os.cpu_count() or 1)
        with closing(Scorer(self.validation, recipe.mpp, workers)) as scorer:
            run = Run(recipe, self.tissue, guide, scorer, self.budgets[name], state_file)
            if not run.is_finished:
                run.train(self.ends)
        return _result(self.pack, run, self.device)


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


def _budgets(names: Sequence[str], seconds: Mapping[str, float]) -> dict[str, float | None]:
    """Give each run its own time, or that of the empty name."""
    foreign, untold = set(seconds) - {"", *names}, set(names) - set(seconds)
    if foreign or (untold and "" not in seconds):
        raise InputError(
            f"--run-time tells the times of {', '.join(filter(None, seconds))}; expected those of "
            f"the runs {', '.join(names)}; give RUN=TIME for each, or one TIME for all others"
        )
    return {name: seconds.get(name, seconds.get("")) for name in names}


def _remembered(runs: Path, seconds: float) -> float:
    """Return the budget of the first call on these runs: the schedules go on by it."""
    file = runs / "budget.json"
    if file.is_file():
        return _read_budget(file)
    with replacing(file, ADVICE) as aside:
        aside.write_text(json.dumps({"run_seconds": seconds}), encoding="utf-8")
    return seconds


def _read_budget(file: Path) -> float:
    try:
        seconds = float(read_json(file)["run_seconds"])
        if not 0 < seconds < math.inf:
            raise ValueError(f"run_seconds {seconds}")
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise InputError(
            f"{file} cannot be read ({type(error).__name__}: {error}); expected the seconds of a "
            "run, as the first call wrote them; say them by --run-time"
        ) from error
    return seconds


def _result(pack: Pack, run: Run, device: torch.device) -> Result:
    progress = run.progress
    best = max(progress.history, key=lambda each: each["aji"], default=None)
    return {
        "name": run.recipe.name,
        "recipe": run.state_file.recipe,
        "student_sha256": pack.values["guides"][run.recipe.name].get("sha256"),
        "finished": run.is_finished,
        "steps": progress.step,
        "seconds": progress.seconds,
        "budget_seconds": run.budget,
        "precision": run.precision,
        "crops": progress.step * run.recipe.batch,
        "n_images": len(run.tissue.images),
        "parameters": sum(each.numel() for each in run.network.parameters()),
        "data": pack.values["data"],
        "seen": pack.values.get("seen"),  # none in a pack of before it was told
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


def _line(result: Result) -> str:
    if "steps" not in result:
        return f"{result['name']}: no time left; call again"
    best = result["best"]
    shown = "not validated yet" if best is None else f"AJI {best['aji']:.4f} PQ {best['pq']:.4f}"
    state = "finished" if result["finished"] else "goes on with the next call"
    speed = result["crops"] / max(result["seconds"], 1e-9)
    return (
        f"{result['name']}: {state}; {result['steps']} steps in {result['seconds']:.0f} s "
        f"({speed:.0f} crops/s); best {shown}"
    )


def _write(results: Sequence[Result], states: Mapping[str, StateFile], out: Path) -> None:
    """Write what there is after every run: a call may be cut short."""
    validated = [each["name"] for each in results if each.get("best")]
    best = {name: states[name].read()["best"] for name in validated}
    places = write_pieces(best, out)
    rows = [{**each, "weights": places.get(each["name"], [])} for each in results]
    with replacing(out / SCORES_FILE, "give another --out") as aside:
        aside.write_text(json.dumps(rows, indent=1, allow_nan=False), encoding="utf-8")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()

"""Who computes: regions go in, what each gives comes out; here on this machine's own threads."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from nuguide.errors import InputError, NuguideError
from nuguide.guides.student import StudentGuide
from nuguide.models.model import Model, NamedGuide
from nuguide.segmentation.planning import Cut, cut_for
from nuguide.segmentation.region import Piece, Task, measured, predicted, read
from nuguide.segmentation.resources import (
    available_cores,
    regions_in_flight,
    use_cores,
    usual_memory,
)
from nuguide.segmentation.stopwatch import Stopwatch


@dataclass(frozen=True)
class Computed:
    """A region that went through.

    Attributes
    ----------
    task : Task
        The region.
    outcome : Piece or NuguideError
        What it gives, or why it could not be segmented.
    """

    task: Task
    outcome: Piece | NuguideError


class Engine(Protocol):
    """Computes regions of whatever slides, in whatever order.

    Attributes
    ----------
    elsewhere : bool
        Whether it leaves this process's cores and memory alone: a GPU computes, or workers do.
    """

    @property
    def elsewhere(self) -> bool:
        """See above."""
        ...

    def compute(self, tasks: Iterable[Task]) -> Generator[Computed]:
        """Segment regions.

        Tasks are taken a few at a time, as there is room for them, and each comes out once.
        """
        ...


class LocalEngine:
    """Segments in this process: reading, the network and measuring overlap.

    Parameters
    ----------
    model : Model
        On the device it is to run on.
    in_flight : int
        Regions that are under way at once: with one, nothing overlaps.
    measuring : int
        Threads that turn maps into nuclei.
    """

    def __init__(self, model: Model, in_flight: int = 4, measuring: int = 1) -> None:
        self._model = model
        self._in_flight = in_flight
        self._measuring = measuring

    @property
    def elsewhere(self) -> bool:
        """Whether the network is on another device than this process's cores."""
        return next(self._model.network.parameters()).device.type != "cpu"

    def compute(self, tasks: Iterable[Task]) -> Generator[Computed]:
        """Segment regions; they come out in the order in which they went in."""
        under_way: deque[tuple[Task, Future[Piece]]] = deque()
        with _Stages(self._model, self._measuring) as stages:
            for task in tasks:
                under_way.append((task, stages.start(task)))
                if len(under_way) >= self._in_flight:
                    yield _computed(*under_way.popleft())
            while under_way:
                yield _computed(*under_way.popleft())


def local_engine(
    model: Model, device: str = "auto", memory: int | None = None, cut: Cut | None = None
) -> LocalEngine:
    """Make an engine of this process that uses what it was given.

    Parameters
    ----------
    model : Model
        Is moved to the device.
    device : str
        As torch names it; "auto" takes a GPU if there is one.
    memory : int, optional
        For regions under way, bytes; None: what is usual for the device.
    cut : Cut, optional
        How images are cut; the usual one if None.

    Raises
    ------
    InputError
        If there is no such device.
    """
    moved = on_device(model, device)
    cores = available_cores()
    use_cores(cores)
    kind = next(moved.network.parameters()).device.type
    if kind == "meta":
        raise _unusable(device, "it has shapes and no numbers")
    in_flight = regions_in_flight(memory or usual_memory(kind), moved, cut_for(moved, cut))
    # One is read and one is in the network; the others may be measured.
    measuring = max(1, min(in_flight - 2, cores))
    return LocalEngine(moved, in_flight, measuring)


def on_device(model: Model, device: str) -> Model:
    """Move a model's network and its guide to a device.

    Raises
    ------
    InputError
        If there is no such device.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        model.network.to(chosen)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise _unusable(device, str(error).splitlines()[0]) from error
    if isinstance(model.guide, StudentGuide):
        model.guide.to(chosen)
    if isinstance(model.guide, NamedGuide):
        return replace(model, guide=model.guide.on(chosen))
    return model


def _unusable(device: str, reason: str) -> InputError:
    return InputError(
        f"--device {device!r} cannot be used ({reason}); expected auto, cpu, cuda or cuda:N "
        "of this machine; leave it out to let nuguide choose"
    )


class _Stages:
    """Three threads or more, one stage each; a region waits at each for the one before it."""

    def __init__(self, model: Model, measuring: int) -> None:
        self._model = model
        self._pools = [
            ThreadPoolExecutor(threads, thread_name_prefix=stage)
            for stage, threads in (("read", 1), ("network", 1), ("measure", measuring))
        ]

    def __enter__(self) -> "_Stages":
        return self

    def __exit__(self, *_: object) -> None:
        # All are told before any is waited for: a stage may be waiting for the one before it.
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            pool.shutdown()

    def start(self, task: Task) -> Future[Piece]:
        """Send a region on its way."""
        reading, computing, measuring = self._pools
        model, watch = self._model, Stopwatch()
        rgb = reading.submit(read, task, model, watch)
        maps = computing.submit(lambda: predicted(rgb.result(), model, watch))
        return measuring.submit(lambda: measured(task, maps.result(), model, watch))


def _computed(task: Task, piece: Future[Piece]) -> Computed:
    try:
        return Computed(task, piece.result())
    except NuguideError as error:
        return Computed(task, error)

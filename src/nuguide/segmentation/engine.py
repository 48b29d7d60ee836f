"""Who computes: regions go in, what each gives comes out; here on this machine's own threads."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from nuguide.errors import NuguideError
from nuguide.models.model import Model
from nuguide.segmentation.region import Piece, Task, measured, predicted, read
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
    """Computes regions of whatever slides, in whatever order."""

    def compute(self, tasks: Iterable[Task]) -> Iterator[Computed]:
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

    def compute(self, tasks: Iterable[Task]) -> Iterator[Computed]:
        """Segment regions; they come out in the order in which they went in."""
        under_way: deque[tuple[Task, Future[Piece]]] = deque()
        with _Stages(self._model, self._measuring) as stages:
            for task in tasks:
                under_way.append((task, stages.start(task)))
                if len(under_way) >= self._in_flight:
                    yield _computed(*under_way.popleft())
            while under_way:
                yield _computed(*under_way.popleft())


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

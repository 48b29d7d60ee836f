"""The regions of an image taken in order by one who works while the last of them are computed."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

import pyarrow as pa

from nuguide.slides.regions import Region


class _StoppedError(Exception):
    """Nobody wants the outcome any more."""


Outcome = TypeVar("Outcome")
Fragment = tuple[Region, pa.Table]


class Joiner(Generic[Outcome]):
    """Gives the regions of a plan to a function, in order, each as soon as it is done.

    The function runs in a thread of its own from the first region that is done while others are
    under way; what it raises comes out of ``done`` or ``outcome``.

    Parameters
    ----------
    plan : sequence of Region
        All regions.
    claimed : callable
        Gives the nuclei of a region that is done, by its index.
    work : callable
        Takes (region, nuclei) in the order of the plan.
    """

    def __init__(
        self,
        plan: Sequence[Region],
        claimed: Callable[[int], pa.Table],
        work: Callable[[Iterable[Fragment]], Outcome],
    ) -> None:
        self._plan, self._claimed, self._work = plan, claimed, work
        self._done: set[int] = set()
        self._changed = threading.Condition()
        self._stopped = False
        self._outcome: Future[Outcome] | None = None
        self._thread: threading.Thread | None = None
        self._waited = self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """What the work took, s, without its waiting for regions; known with its outcome."""
        return self._seconds

    def done(self, indices: Iterable[int], *, start: bool = True) -> None:
        """Take note of regions that are done.

        Parameters
        ----------
        indices : iterable of int
            Theirs.
        start : bool
            Whether to begin the work, if it has not begun.
        """
        if self._outcome is not None and self._outcome.done():
            self._outcome.result()  # it cannot have come to its end: something went wrong
        with self._changed:
            self._done.update(indices)
            self._changed.notify_all()
        if start:
            self._start()

    def outcome(self) -> Outcome:
        """Wait until the work is done and return what it gave; all regions must be done."""
        return self._start().result()

    def stop(self) -> None:
        """Stop the work, if it is not done, and wait until it has; nothing is raised."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> Future[Outcome]:
        if self._outcome is None:
            self._outcome = Future()
            # Nobody waits for it where Python ends before it was stopped.
            self._thread = threading.Thread(
                target=self._run, args=[self._outcome], name="join", daemon=True
            )
            self._thread.start()
        return self._outcome

    def _run(self, outcome: Future[Outcome]) -> None:
        begun = time.perf_counter()
        try:
            made = self._work(self._fragments())
        # Whatever it is, it is raised where somebody can tell what to do.
        except BaseException as fault:
            outcome.set_exception(fault)
        else:
            self._seconds = time.perf_counter() - begun - self._waited
            outcome.set_result(made)

    def _fragments(self) -> Iterator[Fragment]:
        for region in self._plan:
            begun = time.perf_counter()
            with self._changed:
                self._changed.wait_for(partial(self._may_go_on, region.index))
            self._waited += time.perf_counter() - begun
            if self._stopped:
                raise _StoppedError
            yield region, self._claimed(region.index)

    def _may_go_on(self, index: int) -> bool:
        return self._stopped or index in self._done

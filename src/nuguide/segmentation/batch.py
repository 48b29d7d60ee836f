"""Many images through one engine: a folder for each; one that fails does not stop the others."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nuguide.errors import NuguideError
from nuguide.segmentation.engine import Computed, Engine
from nuguide.segmentation.job import Job
from nuguide.segmentation.region import Task
from nuguide.segmentation.result import Run
from nuguide.slides.reader import Slide


@dataclass(frozen=True)
class Ended:
    """How an image ended.

    Attributes
    ----------
    image : Path
        The image.
    outcome : Run or NuguideError
        Its finished folder, or why there is none.
    """

    image: Path
    outcome: Run | NuguideError


@dataclass(frozen=True)
class State:
    """How far an image is: regions done and in all, nuclei found so far.

    ``why_again`` is that of its job.
    """

    image: Path
    done: int
    regions: int
    nuclei: int
    why_again: str = ""


Begin = Callable[[Path, Path], Job | Run]
"""Opens an image and its folder, see ``nuguide.segmentation.job.begin``."""


class Batch:
    """Images on their way through an engine.

    Parameters
    ----------
    pairs : iterable of (Path, Path)
        Images and their run folders.
    begin : callable
        Opens one of them.
    engine : Engine
        Computes.
    progress : callable, optional
        Is told a ``State`` whenever something was done.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[Path, Path]],
        begin: Begin,
        engine: Engine,
        progress: Callable[[State], None] | None = None,
    ) -> None:
        self._pairs, self._begin, self._engine = pairs, begin, engine
        self._tell = progress or (lambda state: None)
        self._jobs: dict[Slide, tuple[Path, Job]] = {}
        self._ended: deque[Ended] = deque()

    def run(self) -> Iterator[Ended]:
        """Segment the images; each comes out as it ends.

        Images follow one another without a pause: the first regions of one are computed while the
        last of the one before are still under way.
        """
        try:
            with closing(self._engine.compute(self._tasks())) as computed:
                for each in computed:
                    self._take(each)
                    yield from self._news()
            yield from self._news()
        finally:
            for _, job in self._jobs.values():
                job.close()  # the engine has stopped: nobody reads any more
                job.slide.close()

    def _news(self) -> Iterator[Ended]:
        while self._ended:
            yield self._ended.popleft()

    def _tasks(self) -> Iterator[Task]:
        for image, folder in self._pairs:
            try:
                begun = self._begin(image, folder)
            except NuguideError as error:
                self._ended.append(Ended(image, error))
                continue
            if isinstance(begun, Run):
                self._ended.append(Ended(image, begun))
                continue
            self._jobs[begun.slide] = image, begun
            self._report(image, begun)
            if begun.complete:  # of a run that was stopped while it wrote its files
                self._end(image, begun)
            else:
                yield from begun.tasks()

    def _take(self, computed: Computed) -> None:
        image, job = self._jobs[computed.task.slide]
        job.came_back()
        if not job.closed:
            try:
                if isinstance(computed.outcome, NuguideError):
                    raise computed.outcome
                job.add(computed.task.region, computed.outcome, elsewhere=self._engine.elsewhere)
                self._report(image, job)
                if job.complete:
                    self._end(image, job)
            except NuguideError as error:
                self._end(image, job, error)
        if job.closed and not job.under_way:
            del self._jobs[job.slide]

    def _end(self, image: Path, job: Job, error: NuguideError | None = None) -> None:
        """Finish an image, or give it up for ``error``; its other regions may be under way."""
        outcome: Run | NuguideError
        try:
            outcome = error or job.finish()
        except NuguideError as fault:
            outcome = fault
        finally:
            job.close()
        self._ended.append(Ended(image, outcome))

    def _report(self, image: Path, job: Job) -> None:
        self._tell(State(image, job.done, job.regions, job.nuclei, job.why_again))

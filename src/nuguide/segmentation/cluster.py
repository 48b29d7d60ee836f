"""Regions on many machines, or many processes of one: an engine over dask.distributed.

Workers compute; this process alone writes. Regions are sent out a few at a time and come back as
tables, so neither the scheduler nor this process ever holds many. What a worker that dies had in
hand, the scheduler gives to another.
"""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from distributed import Client, Future, LocalCluster, as_completed, get_worker
from distributed.scheduler import KilledWorker

from nuguide.backends.registry import with_backend
from nuguide.backends.views import with_views
from nuguide.errors import InputError, NuguideError
from nuguide.models.card import Decoding
from nuguide.models.decoding_choice import with_decoding
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.nuclei.staining import Staining
from nuguide.segmentation.engine import Computed, on_device
from nuguide.segmentation.region import Piece, Task, segment_region
from nuguide.segmentation.resources import available_cores, use_cores
from nuguide.slides.reader import Slide, open_slide
from nuguide.slides.regions import Region

_PER_THREAD = 2
"""Regions sent out for each thread of the workers: one to compute, one to follow."""

_OPEN_SLIDES = 4
"""Slides that a worker keeps open."""

_PATIENCE = "30s"
"""How long to wait for a scheduler, and for its first worker."""


class ClusterEngine:
    """Segments on the workers of a Dask cluster.

    Parameters
    ----------
    client : Client
        Connected to the cluster.
    model : RemoteModel
        What every worker loads.
    """

    def __init__(self, client: Client, model: "RemoteModel") -> None:
        self._client = client
        self._model = model
        self.elsewhere = True

    def compute(self, tasks: Iterable[Task]) -> Generator[Computed]:
        """Segment regions; they come out in the order in which they are done.

        Raises
        ------
        InputError
            If the scheduler has gone.
        """
        waiting = iter(tasks)
        under_way: dict[Future, Task] = {}
        done = as_completed(loop=self._client.loop)
        try:
            while True:
                while len(under_way) < self._room() and (task := next(waiting, None)) is not None:
                    future = self._send(task)
                    under_way[future] = task
                    done.add(future)
                if not under_way:
                    return
                future = next(done)
                yield Computed(under_way.pop(future), _outcome(future))
                future.release()
        finally:
            self._client.cancel(list(under_way))

    def _room(self) -> int:
        # Asked again and again: workers come and go.
        try:
            threads = self._client.nthreads()
        except OSError as error:
            raise InputError(
                f"the cluster's scheduler has gone ({' '.join(str(error).split())}); expected it "
                "to live until all is done; start it, and run the same command again"
            ) from error
        return max(1, _PER_THREAD * sum(threads.values()))

    def _send(self, task: Task) -> Future:
        slide = task.slide
        return self._client.submit(
            segment_remotely,
            # By the name that was given, not where a link leads: names are part of some digests,
            # and decide which files of a folder belong to an image.
            RemoteSlide(str(Path(slide.path or "").absolute()), slide.mpp, slide.sha256),
            task.region,
            task.staining,
            self._model,
            pure=False,
        )


def _outcome(future: Future) -> Piece | NuguideError:
    try:
        outcome: Piece | NuguideError = future.result()
    except KilledWorker as error:
        return InputError(
            f"a region took {error.allowed_failures + 1} workers with it; expected workers to "
            "live; give each more memory, and run the same command again"
        )
    # Whatever else a worker failed at is the end of its image, not of those beside it.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        return InputError(
            f"a region failed on a worker ({type(error).__name__}: {reason}); expected its nuclei; "
            "see the worker's log, and run the same command again"
        )
    return outcome


@dataclass(frozen=True)
class RemoteSlide:
    """A slide as a worker finds it: path, um/px, digest."""

    path: str
    mpp: float
    sha256: str


@dataclass(frozen=True)
class RemoteModel:
    """A model as a worker finds it.

    Attributes
    ----------
    name : str
        Name, or folder that every machine sees.
    sha256 : str
        Digest of its weights.
    device : str
        On which each worker runs it.
    cores : int or None
        That each worker uses; None: its own share of those its machine gave it.
    backend : str
        That computes it there, see ``nuguide.backends``.
    decoding : Decoding or None
        In place of its card's; None: the card's.
    views : int
        In which each region is looked at.
    """

    name: str
    sha256: str
    device: str = "auto"
    cores: int | None = None
    backend: str = "torch"
    decoding: Decoding | None = None
    views: int = 1


def segment_remotely(
    slide: RemoteSlide, region: Region, staining: Staining, model: RemoteModel
) -> Piece | NuguideError:
    """Segment one region on a worker, which keeps model and slides open between regions.

    An error is returned, not raised: workers would write its traceback to their logs.
    """
    try:
        with _OPENING:  # two threads of a worker must not load it twice
            task, loaded = Task(_open(slide), region, staining), _load(model)
        return segment_region(task, loaded)
    except NuguideError as error:
        # Without its cause: a codec's own error may be one that cannot be sent.
        return type(error)(str(error))


_OPENING = threading.Lock()


@lru_cache(maxsize=1)
def _load(model: RemoteModel) -> Model:
    loaded = load(model.name)
    if loaded.card.sha256 != model.sha256:
        raise InputError(
            f"a worker finds other weights under {model.name!r}; expected those of the digest "
            f"{model.sha256[:12]}; give the model as a folder that all machines see"
        )
    if model.decoding is not None:
        loaded = with_decoding(loaded, model.decoding.model_dump())
    # Dask's threads share what the worker was given.
    use_cores(model.cores or available_cores() // get_worker().state.nthreads)
    computed = with_views(with_backend(loaded, model.backend, model.device), model.views)
    return on_device(computed, model.device)


@lru_cache(maxsize=_OPEN_SLIDES)
def _open(remote: RemoteSlide) -> Slide:
    slide = open_slide(remote.path, remote.mpp)
    if slide.sha256 != remote.sha256:
        slide.close()
        raise InputError(
            f"a worker finds another file at {remote.path}; expected that of the digest "
            f"{remote.sha256[:12]}; put slides where all machines see the same"
        )
    return slide


@contextmanager
def local_workers(count: int) -> Iterator[Client]:
    """Start worker processes on this machine, one region at a time each.

    Raises
    ------
    InputError
        If ``count`` is below one.
    """
    if count < 1:
        raise InputError(f"--workers says {count}; expected one or more; correct it")
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=None,
            # A worker needs what a region needs; Dask would only pause it.
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to the scheduler of a running cluster, and wait for a worker.

    Raises
    ------
    InputError
        If there is none, or it has no worker.
    """
    try:
        client = Client(address, timeout=_PATIENCE)
        client.wait_for_workers(1, timeout=_PATIENCE)
    # A TypeError: encryption that Dask's configuration says nothing of, or a scheme of the past.
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        raise InputError(
            f"no cluster with a worker at {address} ({' '.join(str(error).split())}); expected "
            "the address of a Dask scheduler such as tcp://host:8786; start one"
        ) from error
    with client:
        yield client

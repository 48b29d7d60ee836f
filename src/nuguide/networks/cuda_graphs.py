"""One launch for all kernels of a network: CUDA graphs of the shapes that come again.

A region takes some hundred kernels. Launched one by one from Python they hold its interpreter
while other threads measure nuclei, and small maps are computed faster than they are launched. A
CUDA graph is such a series of launches, recorded once and then launched as one.
"""

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from nuguide.networks.blocks import is_traced
from nuguide.networks.cuda_recorder import (
    CannotRecordError,
    Compute,
    CudaRecorder,
    Outputs,
    Recorder,
    Recording,
    reason_of,
)

MOST_GRAPHS = 4
"""Graphs that a network keeps: the inside of a slide has one shape, each of its borders another."""

_REMEMBERED = 64
"""Shapes of which is known when they came last."""

_thread = threading.local()


@contextmanager
def launched_singly() -> Iterator[None]:
    """Let this thread's networks launch kernel by kernel: hooks on their parts see them at work."""
    before = getattr(_thread, "singly", False)
    _thread.singly = True
    try:
        yield
    finally:
        _thread.singly = before


class GraphedNetwork(nn.Module, ABC):
    """A network for inference that launches shapes that come again on CUDA as one graph each.

    A subclass writes ``compute``; its calls give the same. Off CUDA, inside another such network,
    compiled, traced or recorded by somebody else, it is just called.

    Notes
    -----
    What of torch's settings was valid when a graph was recorded (TF32, say) stays so for it.
    Weights may be written to in place; where a weight's memory moves, all graphs are dropped. They
    are no part of the state, and a copy begins without any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.graphs = CudaGraphs()

    @abstractmethod
    def compute(self, image: Tensor, tokens: Tensor | None = None) -> Outputs:
        """Predict the heads' logits, launch by launch."""

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> Outputs:
        """Predict the heads' logits; see the network."""
        if _is_for_graphs(image):
            return self.graphs(self.compute, image, tokens, self.parameters)
        return self.compute(image, tokens)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        applied: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.graphs.forget_if_moved()
        return applied


def _is_for_graphs(image: Tensor) -> bool:
    # In this order: a compiler follows as far as the second.
    return (
        image.is_cuda
        and not torch.compiler.is_compiling()
        and not getattr(_thread, "singly", False)
        and not is_traced()
        and not torch.cuda.is_current_stream_capturing()
    )


class CudaGraphs:
    """The graphs of one network: which shapes have one, and when they get it.

    A shape that comes for the first time is computed as it is: many shapes at the edges of tissue
    come once. The second time it is recorded. Where there are as many graphs as may be, the one
    that was used longest ago goes, but only for a shape that has come twice since: shapes that
    take turns would else push each other out and be recorded again and again.

    Parameters
    ----------
    recorder_on : callable
        Makes the ``Recorder`` of a device.
    most : int
        Graphs that are kept; 2 or more, since memory that they share goes with the last of them.
    """

    def __init__(
        self,
        recorder_on: Callable[[torch.device], Recorder] | None = None,
        most: int = MOST_GRAPHS,
    ) -> None:
        self._recorder_on = recorder_on or CudaRecorder
        self._most = most
        # Graphs share their memory, and threads their graphs: one at a time.
        self._lock = threading.Lock()
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._recorder_on, self._most)

    def __len__(self) -> int:
        """Return how many graphs there are."""
        return len(self._recordings)

    def __call__(
        self,
        compute: Compute,
        image: Tensor,
        tokens: Tensor | None,
        weights: Callable[[], Iterable[Tensor]],
    ) -> Outputs:
        """Compute, by a graph if there is one for this shape.

        Parameters
        ----------
        compute : callable
            Always the same function.
        image, tokens : Tensor, Tensor or None
            Of any shape, on one device.
        weights : callable
            Gives the tensors that ``compute`` reads, which may move; asked when it is recorded.

        Returns
        -------
        dict of str to Tensor
            What ``compute`` returns; its memory is the caller's.

        Warns
        -----
        RuntimeWarning
            Once, if a shape cannot be recorded; it is computed as it is from then on. So are all
            if the GPU has no room for graphs and a pass beside them.
        """
        with self._lock, launched_singly():
            self._drop_moved()
            try:
                return (self._recording(compute, image, tokens, weights) or compute)(image, tokens)
            except torch.OutOfMemoryError as error:
                if not self._recordings:
                    raise
                why = CannotRecordError(reason_of(error))
            # Not before here: the error holds what was computed so far.
            self._forget()
            self._is_off = True
            _tell(image, why)
            return compute(image, tokens)

    def forget_if_moved(self) -> None:
        """Drop all graphs if the memory of a weight has moved: they would read what is gone."""
        with self._lock:
            self._drop_moved()

    def _drop_moved(self) -> None:
        if self._recordings and [x.data_ptr() for x in self._weights] != self._places:
            self._forget()

    def _forget(self) -> None:
        self._recorder: Recorder | None = None
        self._recordings: dict[Any, Recording] = {}
        self._cannot: set[Any] = set()
        self._is_off = False
        self._calls = 0
        self._last: dict[Any, int] = {}
        self._weights: list[Tensor] = []
        self._places: list[int] = []

    def _recording(
        self,
        compute: Compute,
        image: Tensor,
        tokens: Tensor | None,
        weights: Callable[[], Iterable[Tensor]],
    ) -> Recording | None:
        """Return the recording of a shape, made if it is due; None if it has none."""
        key = _key(image, tokens)
        previous = self._came(key)
        if key in self._recordings:
            return self._recordings[key]
        if previous is None or not self._gets_graph(key, previous):
            return None
        self._recorder = self._recorder or self._recorder_on(image.device)
        try:
            recording = self._recorder(compute, image, tokens)
        except CannotRecordError as error:
            # torch leaves the memory of a recording that broke off in a state of its own.
            self._recorder = None
            self._cannot.add(key)
            if len(self._cannot) == 1:
                _tell(image, error)
            return None
        self._weights = list(weights())
        self._places = [x.data_ptr() for x in self._weights]
        self._recordings[key] = recording
        return recording

    def _came(self, key: Any) -> int | None:
        """Note a call of a shape, and return which was the last before it; None: it is new."""
        self._calls += 1
        previous = self._last.get(key)
        self._last[key] = self._calls
        if len(self._last) > _REMEMBERED:
            forgettable = self._last.keys() - self._recordings.keys()
            del self._last[min(forgettable, key=lambda each: self._last[each])]
        return previous

    def _gets_graph(self, key: Any, previous: int) -> bool:
        """Tell whether a shape that has come before is to be recorded, and make room for it."""
        if self._is_off or key in self._cannot:
            return False
        if len(self._recordings) < self._most:
            return True
        oldest = min(self._recordings, key=lambda each: self._last[each])
        if self._last[oldest] > previous:
            return False
        del self._recordings[oldest]
        return True


def _key(image: Tensor, tokens: Tensor | None) -> Any:
    """Return all that a recording depends on, and that may differ from call to call."""
    kinds = tuple((x.shape, x.dtype, x.device) for x in (image, tokens) if x is not None)
    device = image.device.type
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return kinds, precision


def _tell(image: Tensor, error: CannotRecordError) -> None:
    size = " x ".join(str(px) for px in image.shape)
    warnings.warn(
        f"a network cannot be launched as a CUDA graph for images of {size} ({error}); expected "
        "operations that do not wait for the GPU, and memory for one more pass; its kernels are "
        "launched one by one, which is slower and gives the same",
        RuntimeWarning,
        stacklevel=4,
    )

"""A computation on a GPU recorded as a CUDA graph, to be launched again for other inputs.

A graph holds for one shape, reads and writes the same memory each time, and knows nothing of
Python: what is decided there is decided while it is recorded.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import torch
from torch import Tensor

from nuguide.networks.upsampled_conv import blocks_kept

Outputs = dict[str, Tensor]
Compute = Callable[[Tensor, Tensor | None], Outputs]
"""What is recorded: image and tokens or None -> logits, as in the contract of networks."""


class CannotRecordError(Exception):
    """A computation does what no graph can, such as waiting for the GPU."""


class Recording(Protocol):
    """A computation of one shape, recorded."""

    def __call__(self, image: Tensor, tokens: Tensor | None) -> Outputs:
        """Compute again, for inputs of the same shape; the outputs are the caller's own."""
        ...


class Recorder(Protocol):
    """Records computations on one device."""

    def __call__(self, compute: Compute, image: Tensor, tokens: Tensor | None) -> Recording:
        """Record what ``compute`` does with inputs like these.

        Raises
        ------
        CannotRecordError
            If it cannot be recorded.
        """
        ...


_one_recording = threading.Lock()
"""A process records one graph at a time: to begin with another means to wait for the device."""


class CudaRecorder:
    """Records CUDA graphs, all in one memory: what one writes on its way, the others may too.

    Parameters
    ----------
    device : torch.device
        A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()
        self._last_used: torch.cuda.Stream | None = None

    def __call__(self, compute: Compute, image: Tensor, tokens: Tensor | None) -> Recording:
        """Record what ``compute`` does with inputs like these; it is computed once on the way.

        Raises
        ------
        CannotRecordError
            If it cannot be recorded.
        """
        # Tensors of inference mode could not be written to outside of it.
        with torch.cuda.device(self._device), torch.inference_mode(False), torch.no_grad():
            given = (_like(image), None if tokens is None else _like(tokens))
            self._warm_up(compute, *given)
            graph = torch.cuda.CUDAGraph()
            try:
                with blocks_kept() as kept, self._recording(graph, self._pool):
                    outputs = compute(*given)
            except RuntimeError as error:
                self._set_right()
                raise CannotRecordError(reason_of(error)) from error
        return _CudaRecording(self, graph, given, outputs, kept)

    @contextmanager
    def _recording(self, graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
        # This thread's own stream around it: torch stays in the other where recording fails.
        with (
            _one_recording,
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(
                graph,
                pool=pool,
                stream=self._stream,
                # Other threads may do with the GPU what this one must not now.
                capture_error_mode="thread_local",
            ),
        ):
            yield

    def _set_right(self) -> None:
        """Record something, since torch draws no numbers after a recording that broke off."""
        with suppress(RuntimeError):  # if not even that can be done, the next to compute will tell
            something = torch.zeros(1, device=self._device)
            with self._recording(torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()):
                something.add_(1)

    def _warm_up(self, compute: Compute, image: Tensor, tokens: Tensor | None) -> None:
        """Let libraries choose and load their kernels in the stream that records."""
        usual = torch.cuda.current_stream()
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            compute(image, tokens)
        usual.wait_stream(self._stream)

    def take_turn(self) -> None:
        """Wait, on the GPU, for a graph that was launched in another stream."""
        stream = torch.cuda.current_stream(self._device)
        if self._last_used is not None and self._last_used != stream:
            stream.wait_stream(self._last_used)
        self._last_used = stream


class _CudaRecording:
    """A CUDA graph and the memory it reads and writes.

    Parameters
    ----------
    recorder : CudaRecorder
        Of all graphs that share its memory.
    graph : torch.cuda.CUDAGraph
        Recorded.
    given : tuple of Tensor, and Tensor or None
        Image and tokens that it reads.
    outputs : dict of str to Tensor
        What it writes.
    kept : list
        What else it reads and would be freed.
    """

    def __init__(
        self,
        recorder: CudaRecorder,
        graph: torch.cuda.CUDAGraph,
        given: tuple[Tensor, Tensor | None],
        outputs: Outputs,
        kept: list[Any],
    ) -> None:
        self._recorder, self._graph, self._kept = recorder, graph, kept
        self._image, self._tokens = given
        self._outputs = outputs

    @torch.no_grad()
    def __call__(self, image: Tensor, tokens: Tensor | None) -> Outputs:
        """Launch the graph for these inputs."""
        self._recorder.take_turn()
        self._image.copy_(image)
        if self._tokens is not None and tokens is not None:
            self._tokens.copy_(tokens)
        self._graph.replay()
        # The next launch, of this graph or another, writes to the same place.
        return {head: x.clone() for head, x in self._outputs.items()}


def reason_of(error: RuntimeError) -> str:
    """Return the first line of what went wrong first: after it, to end a recording fails too."""
    first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
    lines = str(first).strip().splitlines()
    return lines[0] if lines else type(first).__name__


def _like(x: Tensor) -> Tensor:
    """Return memory for what is like ``x``, and lies as it does, with the same values."""
    return torch.empty_like(x).copy_(x)

"""A network whose graph another runtime computes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nuguide.backends.graph import TOLERANCE, Graph, largest_difference
from nuguide.backends.whole import WholeNetwork
from nuguide.errors import ModelError

Array = NDArray[np.float32]


class Session(Protocol):
    """A graph, ready to be computed."""

    def __call__(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Compute the outputs, float32, each in its order of the graph."""
        ...


OpenSession = Callable[[bytes, int], Session]
"""Opens a graph, the bytes of an ONNX file, to be computed in so many threads."""


@contextmanager
def told(runtime: str, faults: tuple[type[Exception], ...]) -> Iterator[None]:
    """Word a runtime's own errors as one of nuguide's.

    Raises
    ------
    ModelError
        In place of any of ``faults``.
    """
    try:
        yield
    except faults as fault:
        raise ModelError(
            f"{runtime} cannot compute the model ({' '.join(str(fault).split())[:200]}); expected "
            "a runtime that knows its operations; use the backend torch"
        ) from fault


class SessionNetwork(nn.Module):
    """A network that is computed by a runtime of ONNX on the CPU.

    The graph is written and opened when the first image comes, by the threads that torch has then.

    Parameters
    ----------
    network : WholeNetwork
        What is computed; it also computes what the graph does not: batches, images on a GPU,
        sizes other than the tile of a network that has one, and, where tokens come from outside,
        sizes off the network's grid.
    open_session : callable
        The runtime.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px
        Of the network.
    """

    def __init__(self, network: WholeNetwork, open_session: OpenSession):
        super().__init__()
        self.network = network
        self.reads_tokens, self.tile_px = network.reads_tokens, network.tile_px
        self.grid_px = network.grid_px
        self._open_session = open_session
        self._lock = threading.Lock()  # threads of a worker share a session, one at a time
        self._opened: tuple[Graph, Session] | None = None
        self.eval()

    @torch.no_grad()
    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits; see the network.

        Raises
        ------
        ModelError
            If the network has no graph, or the runtime fails or computes another function.
        """
        inputs = [image]
        if self.reads_tokens and tokens is not None:
            inputs.append(tokens)
        if not self._is_for_session(inputs):
            outputs: dict[str, Tensor] = self.network(image, tokens)
            return outputs
        with self._lock:
            if self._opened is None:
                self._opened = self._open(_token_px(inputs))
            graph, session = self._opened
            if graph.token_px != _token_px(inputs):
                return self.network(image, tokens)
            return dict(zip(graph.outputs, run_session(session, inputs), strict=True))

    def _is_for_session(self, inputs: Sequence[Tensor]) -> bool:
        image = inputs[0]
        if image.device.type != "cpu" or image.dtype != torch.float32 or len(image) != 1:
            return False
        if self.tile_px and image.shape[-2:] != (self.tile_px, self.tile_px):
            return False  # attention over all positions is recorded for so many
        if not self.reads_tokens:
            return True
        return len(inputs) == 2 and not any(px % self.grid_px for px in image.shape[-2:])

    def _open(self, token_px: float | None) -> tuple[Graph, Session]:
        graph = Graph(self.network, token_px)
        session = self._open_session(graph.to_onnx(), torch.get_num_threads())
        side = self.tile_px or 2 * self.grid_px
        example = graph.example(side, side)
        difference = largest_difference(graph.expected(example), run_session(session, example))
        if difference > TOLERANCE:
            raise ModelError(
                f"the backend differs from torch by {difference:.1e}; expected at most "
                f"{TOLERANCE:.0e} in every logit; use the backend torch"
            )
        return graph, session


def run_session(session: Session, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Compute a graph's outputs from tensors."""
    return [torch.from_numpy(x) for x in session([x.contiguous().numpy() for x in inputs])]


def _token_px(inputs: Sequence[Tensor]) -> float | None:
    """Return the side of a token, px of the image; None without tokens."""
    if len(inputs) == 1:
        return None
    image, tokens = inputs
    return float(image.shape[-2] / tokens.shape[-2])

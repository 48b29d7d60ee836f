"""A network as a graph that other runtimes read: ONNX, TorchScript; one for all sizes."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from nuguide.backends.whole import WholeNetwork, traceable_whole
from nuguide.errors import ModelError
from nuguide.networks.fusion import TOKEN_CHANNELS
from nuguide.networks.heads import HEADS

OPSET = 17
"""Of ONNX: the first with layer norm, which every runtime of the last years reads."""

TOLERANCE = 1e-4
"""Largest difference of a logit to torch's that passes for rounding."""

_EXAMPLE_PX = 96


class _Flat(nn.Module):
    """A network that returns its heads' logits in a fixed order."""

    def __init__(self, network: WholeNetwork, heads: tuple[str, ...]):
        super().__init__()
        self.network, self.heads = network, heads

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Predict."""
        outputs = self.network(*inputs)
        return tuple(outputs[head] for head in self.heads)


@dataclass(frozen=True)
class Graph:
    """What is needed to write a network down.

    Attributes
    ----------
    network : WholeNetwork
        Folded; it tells what is right.
    token_px : float or None
        Side of the square of the image under a token, px; None if the network reads none.
    """

    network: WholeNetwork
    token_px: float | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: ``image`` (1, 3, H, W) and, if read, ``tokens`` (1, 256, h, w)."""
        return ("image",) if self.token_px is None else ("image", "tokens")

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, logits (1, channels, H, W): heads of ``nuguide.networks.heads``."""
        with torch.no_grad():
            made = self.network(*self.example(*self._example_size))
        return tuple(head for head in HEADS if head in made)

    def example(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Draw inputs of a size, px: noise, the same for the same size."""
        random = torch.Generator().manual_seed(height * 10007 + width)
        image = torch.rand(1, 3, height, width, generator=random)
        if self.token_px is None:
            return (image,)
        rows, columns = (max(1, -int(-px // self.token_px)) for px in (height, width))
        return image, torch.randn(1, TOKEN_CHANNELS, rows, columns, generator=random)

    def expected(self, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what torch makes of inputs, in the order of ``outputs``."""
        with torch.no_grad():
            made = self.network(*inputs)
        return [made[head] for head in self.outputs]

    def to_onnx(self) -> bytes:
        """Write the network as ONNX, height and width left open.

        Raises
        ------
        ModelError
            If the network does something that ONNX has no word for.
        """
        file = io.BytesIO()
        open_sizes = {"image": {2: "height", 3: "width"}, "tokens": {2: "rows", 3: "columns"}}
        names = {name: open_sizes.get(name, open_sizes["image"]) for name in self._names}
        with _tracing():
            torch.onnx.export(
                self._flat(),
                self.example(*self._example_size),
                file,  # type: ignore[arg-type]  # any that can be written to
                dynamo=False,
                opset_version=OPSET,
                input_names=list(self.inputs),
                output_names=list(self.outputs),
                dynamic_axes=names,
            )
        return file.getvalue()

    def to_torchscript(self) -> torch.jit.ScriptModule:
        """Write the network as TorchScript, which returns the outputs as a tuple.

        Raises
        ------
        ModelError
            If the network cannot be traced.
        """
        with _tracing():
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                self._flat(), self.example(*self._example_size), check_trace=False
            )
        if not isinstance(traced, torch.jit.ScriptModule):
            raise ModelError(
                f"tracing gave {type(traced).__name__}; expected a ScriptModule; use another format"
            )
        return traced

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.inputs, *self.outputs)

    @property
    def _example_size(self) -> tuple[int, int]:
        """A size on the network's grid, px, that is no square."""
        step = self.network.tile_px or self.network.grid_px
        cells = 1 if self.network.tile_px else -(-_EXAMPLE_PX // step)
        return step * cells, step * (cells if self.network.tile_px else cells + 1)

    def _flat(self) -> nn.Module:
        return _Flat(traceable_whole(self.network), self.outputs).eval()


@contextmanager
def _tracing() -> Iterator[None]:
    """Trace as a network is read in training: no part of a tensor is written to.

    The tracer warns of every size that it sees decided upon; that all are as they must be is what
    the comparison with torch shows.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.inference_mode(False), torch.enable_grad():
                yield
        except (RuntimeError, TypeError, ValueError, torch.onnx.OnnxExporterError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(
                f"the network cannot be written as a graph ({reason}); expected operations that "
                "ONNX has; use the backend torch"
            ) from error


def largest_difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Return the largest absolute difference of outputs; infinite where shapes or numbers fail."""
    if [x.shape for x in expected] != [x.shape for x in found]:
        return float("inf")
    if not all(x.isfinite().all() for x in found):
        return float("inf")
    return max(float((x - y).abs().max()) for x, y in zip(expected, found, strict=True))

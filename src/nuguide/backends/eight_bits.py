"""int8: weights and maps of eight bits, computed by ONNX Runtime.

Eight bits need to know how large a map's values become, and are told by examples. These are crops
of a picture of tissue that ships inside scikit-image, as it is and with its optical densities mixed
anew, so that nobody has to give images and a model has one int8 form, whoever makes it.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import skimage
import torch
from numpy.typing import NDArray
from torch import Tensor

from nuguide import __version__
from nuguide.backends.graph import Graph
from nuguide.backends.onnx_runtime import open_session
from nuguide.backends.session import Session, SessionNetwork, run_session
from nuguide.backends.whole import WholeNetwork
from nuguide.errors import ModelError
from nuguide.files import cache_folder, keep, unwritable

SIDE_PX = 128
"""Of an example, for networks that have no tile; a multiple of every network's grid."""

APART = 0.2
"""Mean absolute difference to torch's logits, in their standard deviations, that is a failure."""

_RANGES = {"CalibMovingAverage": True}
"""How a map's range comes of those in examples, for the quantiser: their mean."""

_DIGEST_BYTES = hashlib.sha256().digest_size

_MIXED = 2
"""Times each crop is shown with other colours."""

_SPREAD = 0.25
"""Standard deviation of what each channel's optical density takes from each channel's."""

_AMOUNT = (0.6, 1.5)
"""How much of the optical density is kept, at random between these."""


class EightBitNetwork(SessionNetwork):
    """A network that ONNX Runtime computes in int8.

    Parameters
    ----------
    network : WholeNetwork
        One that reads no tokens; see ``SessionNetwork``.
    """

    def __init__(self, network: WholeNetwork):
        super().__init__(network, open_session)

    def _open(self, token_px: float | None) -> tuple[Graph, Session]:
        graph = Graph(self.network, token_px)
        shown = examples(self.tile_px or SIDE_PX)
        if self.network.bgr:
            shown = [image.flip(1) for image in shown]
        session = open_session(_kept(graph.to_onnx(), shown), torch.get_num_threads())
        found = run_session(session, [shown[0]])
        for apart in map(_apart, graph.expected((shown[0],)), found):
            if not apart <= APART:  # so that NaN is refused too
                raise ModelError(
                    f"in int8 the model's logits are {apart:.2f} standard deviations off in the "
                    f"mean; expected at most {APART:g}; use another backend"
                )
        return graph, session


def _kept(graph: bytes, shown: Sequence[Tensor]) -> bytes:
    """Return a graph in int8: out of the user's cache, if it was made before and is whole."""
    made_by = f"nuguide {__version__}, onnxruntime {version('onnxruntime')}, {_RANGES}"
    key = hashlib.sha256(graph + made_by.encode())
    for each in shown:
        key.update(each.numpy().tobytes())
    file = cache_folder("int8") / key.hexdigest()[:32]  # its digest, then the ONNX file
    with suppress(OSError):
        read = file.read_bytes()
        digest, made = read[:_DIGEST_BYTES], read[_DIGEST_BYTES:]
        if digest == hashlib.sha256(made).digest():
            return made
    made = quantised(graph, shown)
    keep(file, hashlib.sha256(made).digest() + made)
    return made


def _apart(expected: Tensor, found: Tensor) -> float:
    return float((found - expected).abs().mean() / expected.std())


def examples(side: int) -> list[Tensor]:
    """Return tissue in many colours, (1, 3, side, side) float32 RGB in 0..1, always equal."""
    picture: NDArray[np.uint8] = skimage.data.immunohistochemistry()
    random = np.random.default_rng(0)
    shown: list[NDArray[np.float64]] = []
    for y in range(0, picture.shape[0] - side + 1, side):
        for x in range(0, picture.shape[1] - side + 1, side):
            crop = picture[y : y + side, x : x + side] / 255
            density = -np.log10(np.maximum(crop, 1 / 255))
            shown.append(crop)
            for _ in range(_MIXED):
                mix = random.normal(np.eye(3), _SPREAD) * random.uniform(*_AMOUNT)
                shown.append(10.0 ** -np.maximum(density @ mix, 0))
    return [torch.from_numpy(each).float().movedim(-1, 0)[None].contiguous() for each in shown]


def quantised(graph: bytes, shown: Sequence[Tensor]) -> bytes:
    """Rewrite a graph in int8: weights by channel, maps by the range that they have in examples.

    A map's range is the mean of those in single examples: the few values beyond it are cut off, and
    all others are told apart more finely than if the range held them all.

    Parameters
    ----------
    graph : bytes
        An ONNX file with the one input ``image``.
    shown : sequence of Tensor
        Images for that input.

    Raises
    ------
    OutputError
        If the folder for temporary files cannot be written.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives one image after another."""

        def __init__(self) -> None:
            self._left: Iterator[Tensor] = iter(shown)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self._left, None)
            return None if image is None else {"image": image.numpy()}

    try:
        with tempfile.TemporaryDirectory() as folder, _without_warnings():
            plain, simplified, made = (Path(folder) / f"{step}.onnx" for step in range(3))
            plain.write_bytes(graph)
            # Sizes are open, and its inference of shapes wants them closed.
            quant_pre_process(plain, simplified, skip_symbolic_shape=True)
            quantize_static(
                simplified,
                made,
                Reader(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,  # beside signed weights: x86 multiplies them
                weight_type=QuantType.QInt8,
                per_channel=True,
                extra_options=_RANGES,
            )
            return made.read_bytes()
    except OSError as fault:
        advice = "make room there, or set TMPDIR to another folder"
        raise unwritable(Path(tempfile.gettempdir()), fault, advice) from fault


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep what the quantiser tells of each weight that it leaves alone out of the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

"""What goes on inside a guided network on one image: its guide's tokens, gate, attention, maps.

Everything is taken from the modules themselves while they predict, by hooks: there is no second
copy of what a network does. The networks are those of ``nuguide.networks.eunet3plus``.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from nuguide.errors import ModelError
from nuguide.models.model import Model
from nuguide.networks.blocks import pad_to_multiple
from nuguide.networks.cuda_graphs import launched_singly
from nuguide.networks.eunet3plus import EUNet3Plus
from nuguide.networks.fusion import (
    CrossFusion,
    GlobalAttention,
    PaperFusion,
    partition,
    unpartition,
)
from nuguide.networks.unet import STRIDE
from nuguide.segmentation.predictor import predict_maps

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Inside:
    """What was seen inside a network on one image.

    All maps cover the image alone, padding is cut off; (C, h, w) or (h, w) float32.

    Attributes
    ----------
    levels : tuple of ndarray
        The encoder's maps as the decoder takes them, finest first; the last is the bottleneck.
    tokens : ndarray or None
        (256, h, w), the guide's tokens as the fusion block takes them.
    before, after : ndarray or None
        The maps that go into the fusion block and come out of it.
    gate : ndarray or None
        (h, w) in 0..1: the gate's openness at each position, a mean over channels. Where a gate is
        one number a channel (``released``) there is no map.
    received : ndarray or None
        (h, w): the attention that a position (a token in ``cross``) receives, a mean over queries
        and heads, as a multiple of what all would get if it were even.
    entropy : ndarray or None
        (h, w) in 0..1: how evenly the query at a position spreads its attention; 0: on one key.
    """

    levels: tuple[Map, ...]
    tokens: Map | None = None
    before: Map | None = None
    after: Map | None = None
    gate: Map | None = None
    received: Map | None = None
    entropy: Map | None = None

    @property
    def bottleneck(self) -> Map:
        """The deepest map, (C, h, w)."""
        return self.levels[-1]


def look_inside(model: Model, rgb: NDArray[np.uint8]) -> Inside:
    """Predict an image and keep what its network makes on the way.

    Parameters
    ----------
    model : Model
        With a network of the architecture ``eunet3plus``, guided in any mode or not at all.
    rgb : ndarray
        (H, W, 3) uint8 RGB at ``model.card.mpp`` um/px.

    Raises
    ------
    ModelError
        If the network is another.
    """
    network = next((m for m in model.network.modules() if isinstance(m, EUNet3Plus)), None)
    if network is None:
        raise ModelError(
            f"the network of {model.card.name} is {model.card.network.architecture!r}; expected "
            "'eunet3plus', whose parts are known; give another model"
        )
    with _Watch(network) as watch, launched_singly():
        predict_maps(model, rgb)
    height, width = rgb.shape[:2]
    maps = {
        name: _joined(pieces, (height, width), model.card.tile_px)
        for name, pieces in watch.seen.items()
    }
    levels = tuple(maps.pop(name) for name in sorted(maps) if name.startswith("level"))
    return Inside(levels, **{name: x[0] if name in _FLAT else x for name, x in maps.items()})


_FLAT = ("gate", "received", "entropy")


def _joined(pieces: list[Tensor], size: tuple[int, int], tile_px: int | None) -> Map:
    """Join (1, C, h, w) of tiles, row by row, and cut off what lies beyond the image."""
    height, width = size
    unit = tile_px or STRIDE
    padded = (height + -height % unit, width + -width % unit)
    columns = padded[1] // tile_px if tile_px else 1
    rows = [torch.cat(pieces[i : i + columns], dim=3) for i in range(0, len(pieces), columns)]
    whole = torch.cat(rows, dim=2)[0]
    kept = [
        -(-side * extent // around)
        for side, extent, around in zip(whole.shape[1:], size, padded, strict=True)
    ]
    return whole[:, : kept[0], : kept[1]].float().cpu().numpy()


class _Watch(TorchFunctionMode):
    """While entered, keeps what the parts of a network take and give.

    Attributes
    ----------
    seen : dict
        By the names of ``Inside``, (1, C, h, w) for each call of the network, in order.
    """

    def __init__(self, network: EUNet3Plus):
        super().__init__()
        self.seen: dict[str, list[Tensor]] = defaultdict(list)
        self._query_and_key: tuple[Tensor, Tensor] | None = None
        self._network = network
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        network, handles = self._network, self._handles
        handles.append(network.decoder.register_forward_pre_hook(self._keep_levels))
        block = network.fuse if network.reads_tokens else None
        if block is not None:
            handles.append(block.register_forward_hook(self._keep_fusion))
        if isinstance(block, CrossFusion):
            handles.append(block.gate[0].register_forward_hook(self._keep_gate))
            handles.append(block.register_forward_hook(self._keep_windows))
        if isinstance(block, PaperFusion):
            handles.append(block.glu[0].register_forward_hook(self._keep_gate))
        for module in network.modules():
            if isinstance(module, GlobalAttention):
                handles.append(module.register_forward_hook(self._keep_global))
        super().__enter__()  # type: ignore[no-untyped-call]  # torch has no types here
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Take note of what attends to what; every other call passes as it is."""
        if function is F.scaled_dot_product_attention:
            self._query_and_key = (args[0], args[1])
        return function(*args, **(kwargs or {}))

    def _keep_levels(self, module: nn.Module, inputs: tuple[list[Tensor]]) -> None:
        for number, x in enumerate(inputs[0], start=1):
            self.seen[f"level {number}"].append(x)

    def _keep_fusion(
        self, module: nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor
    ) -> None:
        self.seen["before"].append(inputs[0])
        self.seen["after"].append(output)
        if not isinstance(module, GlobalAttention):  # which is given no tokens
            self.seen["tokens"].append(inputs[1])

    def _keep_gate(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep the second half of what a gated linear unit takes: its sigmoid is the gate."""
        self.seen["gate"].append(torch.sigmoid(output.chunk(2, dim=1)[1]).mean(1, keepdim=True))

    def _keep_windows(
        self, block: CrossFusion, inputs: tuple[Tensor, Tensor], output: Tensor
    ) -> None:
        if self._query_and_key is None:
            return
        query, key = self._query_and_key  # (windows, heads, positions, channels)
        weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
        height, width = output.shape[2:]
        real = pad_to_multiple(output[:, :1] * 0 + 1, block.window)
        size = (real.shape[2], real.shape[3])
        real[..., height:, :], real[..., width:] = 0, 0  # padding asks nothing
        asking = partition(real, block.window)[:, None]
        received = (weights * asking).mean(1).sum(1) / asking[:, 0].sum(1) * key.shape[2]
        fine = (size[0] * block.ratio, size[1] * block.ratio)
        whole = unpartition(received[..., None], fine, block.window * block.ratio)
        cut = whole[..., : height * block.ratio, : width * block.ratio]
        self.seen["received"].append(cut)
        spread = _evenness(weights).mean(1)[..., None]
        self.seen["entropy"].append(unpartition(spread, size, block.window)[..., :height, :width])

    def _keep_global(
        self, attention: GlobalAttention, inputs: tuple[Tensor, Tensor], output: Tensor
    ) -> None:
        # The module itself, asked a second time for the weights that it does not give otherwise.
        query, context = (x.flatten(2).transpose(1, 2) for x in inputs)
        asked = nn.MultiheadAttention.forward(attention, query, context, context)
        weights: Tensor = asked[1]  # type: ignore[assignment]  # given unless told not to
        shape = (1, 1, *output.shape[2:])
        self.seen["received"].append((weights.mean(1) * weights.shape[2]).view(shape))
        self.seen["entropy"].append(_evenness(weights).view(shape))


def _evenness(weights: Tensor) -> Tensor:
    """Return the entropy of (..., queries, keys) over the keys, 1 where all are alike."""
    logarithm = torch.log(weights.clamp_min(torch.finfo(weights.dtype).tiny))
    return -(weights * logarithm).sum(-1) / math.log(weights.shape[-1])

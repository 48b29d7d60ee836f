"""From the pixels of a region to its maps: guide, then network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nuguide.guides.base import Guide
from nuguide.guides.fields import encode_extent
from nuguide.networks.blocks import pad_to_multiple
from nuguide.segmentation.decoding import Maps
from nuguide.segmentation.stopwatch import Stopwatch

# `run_network` also runs where there is no pydantic for a card: see nuguide.training.gpu.
if TYPE_CHECKING:
    from nuguide.models.model import Model


def predict_maps(model: "Model", rgb: NDArray[np.uint8], watch: Stopwatch | None = None) -> Maps:
    """Predict the maps of a region at the model's own um/px.

    Parameters
    ----------
    model : Model
        Network, guide and card.
    rgb : ndarray
        (H, W, 3) uint8 RGB at ``model.card.mpp`` um/px; any size.
    watch : Stopwatch, optional
        Takes the times of "guide" and "network".

    Returns
    -------
    Maps
        (H, W) each.
    """
    return run_network(
        model.network,
        model.guide,
        rgb,
        model.card.mpp,
        tile_px=model.card.tile_px,
        bgr=model.card.channel_order == "bgr",
        watch=watch,
    )


@torch.inference_mode()
def run_network(
    network: nn.Module,
    guide: Guide | None,
    rgb: NDArray[np.uint8],
    mpp: float,
    *,
    tile_px: int | None = None,
    bgr: bool = False,
    watch: Stopwatch | None = None,
) -> Maps:
    """Run a network with its guide over one region; see ``predict_maps``.

    Parameters
    ----------
    tile_px : int or None
        Side of the tiles for a network that pools globally; None runs the region whole.
    bgr : bool
        Whether the network, not the guide, takes its channels as BGR.
    """
    watch = watch or Stopwatch()
    height, width = rgb.shape[:2]
    device = next(network.parameters()).device
    pixels = np.ascontiguousarray(rgb[..., ::-1] if bgr else rgb)
    image = torch.from_numpy(pixels).to(device).movedim(-1, 0)[None].float() / 255
    tokens: Tensor | None = None
    token_px = 1.0
    if guide is not None:
        with watch.timing("guide"):
            embedding = encode_extent(guide, rgb, mpp)
        tokens, token_px = embedding.values.to(device), embedding.token_um / mpp
    with watch.timing("network"):
        if tile_px is None:
            outputs = network(image, tokens)
        else:
            outputs = _run_tiles(network, image, tokens, tile_px, token_px)
        nuclei = outputs["nuclei"][0, :, :height, :width]
        # The share of the nucleus' channel: above one half exactly where it is the argmax.
        foreground = torch.sigmoid(nuclei[1] - nuclei[0]).float().cpu().numpy()
        others = {
            name: outputs[name][0, :, :height, :width].float().cpu().numpy()
            for name in ("distance", "offsets")
            if name in outputs
        }
        distance = others["distance"][0] if "distance" in others else None
        types = None
        if "types" in outputs:
            types = outputs["types"][0, :, :height, :width].float().softmax(0).cpu().numpy()
        return Maps(foreground, distance, mpp, others.get("offsets"), types)


def _run_tiles(
    network: nn.Module, image: Tensor, tokens: Tensor | None, tile: int, token_px: float
) -> dict[str, Tensor]:
    """Run tile by tile on the grid of the image's origin, and join what comes out."""
    height, width = image.shape[-2:]
    padded = pad_to_multiple(image, tile)
    side = round(tile / token_px)
    if tokens is not None:
        rows, columns = padded.shape[-2] // tile * side, padded.shape[-1] // tile * side
        missing = (0, columns - tokens.shape[-1], 0, rows - tokens.shape[-2])
        tokens = torch.nn.functional.pad(tokens, missing, mode="replicate")
    joined: dict[str, Tensor] = {}
    for row, column in _grid(padded.shape[-2] // tile, padded.shape[-1] // tile):
        box = np.s_[..., row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
        under = np.s_[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
        for name, x in network(padded[box], None if tokens is None else tokens[under]).items():
            if name not in joined:
                joined[name] = x.new_zeros(1, x.shape[1], *padded.shape[-2:])
            joined[name][box] = x
    return {name: x[..., :height, :width] for name, x in joined.items()}


def _grid(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(rows) for column in range(columns))

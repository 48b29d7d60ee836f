"""SAM's own image encoders as guides: ``sam-vit-b|l|h``, ``medsam``, ``pathosam``.

Kirillov et al., Segment Anything, ICCV 2023 (arXiv:2304.02643). The network is transformers'
``SamVisionModel``. Weights come in two layouts, the original one (``image_encoder.*``: Meta's
sam_vit_*.pth, MedSAM, PathoSAM) and transformers' (``vision_encoder.*``); the first is renamed into
the second, and the sizes of the network are read off the shapes, so no configuration is needed.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import SamVisionConfig, SamVisionModel

from nuguide.errors import GuideError
from nuguide.guides.base import TOKEN_CHANNELS
from nuguide.guides.frozen import SAM_PIXELS, FrozenSamGuide, PixelScale
from nuguide.guides.registry import FIELD_UM
from nuguide.guides.weights import State, digest, load_checked

PREFIX = "vision_encoder."

_ORIGINAL = "image_encoder."
# Original name to transformers' name; in this order, on the part after the prefix.
_RENAMED = (
    (re.compile(r"^patch_embed\.proj\."), "patch_embed.projection."),
    (re.compile(r"^blocks\."), "layers."),
    (re.compile(r"^(layers\.\d+)\.norm([12])\."), r"\1.layer_norm\2."),
    (re.compile(r"^neck\.0\."), "neck.conv1."),
    (re.compile(r"^neck\.1\."), "neck.layer_norm1."),
    (re.compile(r"^neck\.2\."), "neck.conv2."),
    (re.compile(r"^neck\.3\."), "neck.layer_norm2."),
)


@dataclass(frozen=True)
class SamSizes:
    """Sizes of a SAM image encoder.

    Attributes
    ----------
    width, depth, heads, perceptron : int
        Channels, blocks, attention heads, hidden channels of the perceptron.
    image_px, patch_px : int
        Side of the input and of the patch under one token, px.
    window : int
        Side of the attention windows, tokens.
    global_blocks : tuple of int
        Blocks that attend over the whole field.
    qkv_bias : bool
        Whether queries, keys and values have a bias.
    """

    width: int
    depth: int
    heads: int
    perceptron: int
    image_px: int
    patch_px: int
    window: int
    global_blocks: tuple[int, ...]
    qkv_bias: bool


class SamEncoder(nn.Module):
    """transformers' SAM vision encoder: (B, 3, N, N) normalised float to (B, 256, N/16, N/16)."""

    def __init__(self, state: State, source: str):
        super().__init__()
        # On the meta device no random weights are made only to be thrown away: ViT-H has 2.5 GB.
        with torch.device("meta"):
            self.model = SamVisionModel(_config(sam_sizes(state, source)))
        load_checked(self.model, state, source)

    def forward(self, image: Tensor) -> Tensor:
        """Encode (B, 3, N, N) into (B, 256, N / 16, N / 16)."""
        return self.model(image).last_hidden_state


class SamGuide(FrozenSamGuide):
    """A SAM image encoder as a guide.

    Parameters
    ----------
    state : dict of str to Tensor
        ``vision_encoder.*`` keys, as `encoder_state` returns them.
    name : str
        The guide's name.
    field_um : float
        Width of tissue that fills the encoder's input, um.
    pixels : PixelScale
        What the weights were trained to be fed.
    source : str
        Where the weights came from, for error messages.

    Raises
    ------
    GuideError
        If the state is not a SAM encoder's or holds NaN.
    """

    def __init__(
        self,
        state: State,
        name: str,
        field_um: float = FIELD_UM,
        pixels: PixelScale = SAM_PIXELS,
        source: str | None = None,
    ):
        source = source or name
        sizes = sam_sizes(state, source)
        encoder = SamEncoder(state, source)
        super().__init__(
            encoder, name, digest(state), field_um, sizes.image_px, sizes.patch_px, pixels
        )


def encoder_state(state: State, source: str) -> State:
    """Return the image encoder of a SAM checkpoint under transformers' names.

    Parameters
    ----------
    state : dict of str to Tensor
        A whole checkpoint or its encoder; original (``image_encoder.*``, also behind a leading
        name such as ``sam.``) or transformers' names (``vision_encoder.*``).
    source : str
        Where it came from, for the error message.

    Returns
    -------
    dict of str to Tensor
        ``vision_encoder.*`` keys, float32.

    Raises
    ------
    GuideError
        If it holds neither.
    """
    found: State = {}
    for key, value in state.items():
        if key.startswith(PREFIX):
            found[key] = value.float()
        elif _ORIGINAL in key:
            name = key.split(_ORIGINAL, 1)[1]
            for pattern, replacement in _RENAMED:
                name = pattern.sub(replacement, name)
            found[PREFIX + name] = value.float()
    if f"{PREFIX}patch_embed.projection.weight" not in found:
        raise GuideError(
            f"{source} holds no SAM image encoder; expected keys such as "
            f"{_ORIGINAL}patch_embed.proj.weight or {PREFIX}patch_embed.projection.weight; "
            "give a SAM checkpoint"
        )
    return found


def sam_sizes(state: State, source: str) -> SamSizes:
    """Read the sizes of a SAM encoder off the shapes of its weights.

    Parameters
    ----------
    state : dict of str to Tensor
        ``vision_encoder.*`` keys.
    source : str
        Where it came from, for the error message.

    Raises
    ------
    GuideError
        If a weight that tells a size is missing or has a foreign shape.

    Notes
    -----
    A table of relative positions has 2 w - 1 rows for a window of w tokens; a block whose table
    reaches over the whole grid attends globally.
    """
    inner = {key.removeprefix(PREFIX): value for key, value in state.items()}
    try:
        width, _, patch_px, _ = inner["patch_embed.projection.weight"].shape
        _, grid, _, channels = inner["pos_embed"].shape
        perceptron = inner["layers.0.mlp.lin1.weight"].shape[0]
        depth = len({key.split(".")[1] for key in inner if key.startswith("layers.")})
        tables = [inner[f"layers.{block}.attn.rel_pos_h"].shape for block in range(depth)]
        spans = [(rows + 1) // 2 for rows, _ in tables]
        head_width = tables[0][1]
        out_channels = inner["neck.conv2.weight"].shape[0]
    except (KeyError, ValueError, IndexError) as error:
        raise GuideError(
            f"{source} is no complete SAM image encoder (at {error}); expected the weights of a "
            "ViT with relative positions; give a SAM checkpoint"
        ) from error
    if channels != width or head_width < 1 or width % head_width or out_channels != TOKEN_CHANNELS:
        raise GuideError(
            f"{source} has {channels} position and {width} patch channels, {head_width} a head and "
            f"{out_channels} out; expected equal ones, whole heads and {TOKEN_CHANNELS} out; "
            "give a SAM checkpoint"
        )
    return SamSizes(
        width=width,
        depth=depth,
        heads=width // head_width,
        perceptron=perceptron,
        image_px=grid * patch_px,
        patch_px=patch_px,
        window=min(spans),
        global_blocks=tuple(block for block, span in enumerate(spans) if span == grid),
        qkv_bias="layers.0.attn.qkv.bias" in inner,
    )


def _config(sizes: SamSizes) -> SamVisionConfig:
    return SamVisionConfig(
        hidden_size=sizes.width,
        output_channels=TOKEN_CHANNELS,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        image_size=sizes.image_px,
        patch_size=sizes.patch_px,
        qkv_bias=sizes.qkv_bias,
        window_size=sizes.window,
        global_attn_indexes=list(sizes.global_blocks),
        mlp_dim=sizes.perceptron,
    )

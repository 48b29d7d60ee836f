"""The guide ``tinyvit-sam``: a SAM encoder of 5.7 M parameters, in MobileSAM's layout."""

import math

import torch

from nuguide.errors import GuideError
from nuguide.guides.base import TOKEN_CHANNELS
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.guides.registry import FIELD_UM
from nuguide.guides.tinyvit_encoder import STRIDE, TinyVitEncoder, TinyVitSizes
from nuguide.guides.weights import State, digest, load_checked

NAME = "tinyvit-sam"
PREFIX = "image_encoder."
# Parts of published MobileSAM checkpoints that the encoder never reads: the classifier it was
# distilled with, and a table of indices that older versions stored.
_UNREAD = ("norm_head.", "head.")
_UNREAD_SUFFIX = "attention_bias_idxs"
# A table of offsets grows with the fourth power of this; vit_t has 14.
_MAX_WINDOW = 64


class TinyVitSamGuide(FrozenSamGuide):
    """TinyViT SAM encoder as a guide.

    Parameters
    ----------
    state : dict of str to Tensor
        ``image_encoder.*`` keys, as `encoder_state` returns them.
    field_um : float
        Width of tissue that fills the encoder's input, um.
    input_px : int
        Side of the encoder's input; 1024 as trained.
    source : str
        Where the weights came from, for error messages.

    Raises
    ------
    GuideError
        If the state is not this architecture's or holds NaN.
    """

    def __init__(
        self,
        state: State,
        field_um: float = FIELD_UM,
        input_px: int = 1024,
        source: str = NAME,
    ):
        # On the meta device no random weights are made only to be thrown away.
        with torch.device("meta"):
            encoder = TinyVitEncoder(tinyvit_sizes(state, source))
        inner = {key.removeprefix(PREFIX): value for key, value in state.items()}
        load_checked(encoder, inner, source)
        encoder.eval().fold()
        super().__init__(encoder, NAME, digest(state), field_um, input_px, STRIDE)


def encoder_state(state: State, source: str) -> State:
    """Return the part of a MobileSAM checkpoint that the encoder reads.

    Parameters
    ----------
    state : dict of str to Tensor
        A whole checkpoint or its encoder, keys ``image_encoder.*`` among others.
    source : str
        Where it came from, for the error message.

    Returns
    -------
    dict of str to Tensor
        ``image_encoder.*`` keys, float32 (BatchNorm's counters int64).

    Raises
    ------
    GuideError
        If it holds no TinyViT encoder.
    """
    inner = {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if key.startswith(PREFIX)
        and not key.removeprefix(PREFIX).startswith(_UNREAD)
        and not key.endswith(_UNREAD_SUFFIX)
    }
    if f"{PREFIX}patch_embed.seq.0.c.weight" not in inner:
        raise GuideError(
            f"{source} holds no TinyViT encoder; expected keys such as "
            f"{PREFIX}patch_embed.seq.0.c.weight; give weights in MobileSAM's layout"
        )
    return inner


def tinyvit_sizes(state: State, source: str) -> TinyVitSizes:
    """Read the sizes of a TinyViT encoder off the shapes of its weights.

    Parameters
    ----------
    state : dict of str to Tensor
        ``image_encoder.*`` keys.
    source : str
        Where it came from, for the error message.

    Raises
    ------
    GuideError
        If a weight that tells a size is missing or has a foreign shape.
    """
    stages = [f"{PREFIX}layers.{stage}.blocks." for stage in range(4)]
    try:
        hidden, width = state[f"{stages[0]}0.conv1.c.weight"].shape[:2]
        widths = [state[f"{stage}0.attn.proj.bias"].shape[0] for stage in stages[1:]]
        tables = [state[f"{stage}0.attn.attention_biases"].shape for stage in stages[1:]]
        heads = [count for count, _ in tables]
        windows = [math.isqrt(offsets) for _, offsets in tables]
        out_channels = state[f"{PREFIX}neck.2.weight"].shape[0]
    except (KeyError, IndexError, ValueError) as error:
        raise GuideError(
            f"{source} is no complete TinyViT encoder (at {error}); expected all weights of "
            "MobileSAM's layout; give weights in that layout"
        ) from error
    pairs = [(hidden, width), *zip(widths, heads, strict=True)]
    whole = all(many and each and not many % each for many, each in pairs)
    if not (whole and max(windows) <= _MAX_WINDOW and out_channels == TOKEN_CHANNELS):
        raise GuideError(
            f"{source} has widths {width} ({hidden} inside), {widths}, heads {heads}, windows "
            f"{windows} and {out_channels} out; expected whole heads, windows up to {_MAX_WINDOW} "
            f"and {TOKEN_CHANNELS} out; give weights of a TinyViT SAM encoder"
        )
    depths = [
        len({key.removeprefix(stage).split(".")[0] for key in state if key.startswith(stage)})
        for stage in stages
    ]
    return TinyVitSizes(
        widths=(width, widths[0], widths[1], widths[2]),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        heads=(heads[0], heads[1], heads[2]),
        windows=(windows[0], windows[1], windows[2]),
        expansion=hidden // width,
        out_channels=out_channels,
    )

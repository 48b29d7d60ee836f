"""The guide ``tinyvit-sam``: a SAM encoder of 5.7 M parameters, in MobileSAM's layout."""

from pathlib import Path

from nuguide.errors import GuideError
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.guides.tinyvit_encoder import STRIDE, TinyVitEncoder, TinyVitSizes
from nuguide.guides.weights import State, digest, load_checked, read_state

NAME = "tinyvit-sam"
FIELD_UM = 128.0
PREFIX = "image_encoder."
# Parts of published MobileSAM checkpoints that the encoder never reads: the classifier it was
# distilled with, and a table of indices that older versions stored.
_UNREAD = ("norm_head.", "head.")
_UNREAD_SUFFIX = "attention_bias_idxs"


class TinyVitSamGuide(FrozenSamGuide):
    """TinyViT SAM encoder as a guide.

    Parameters
    ----------
    state : dict of str to Tensor
        ``image_encoder.*`` keys, as `encoder_state` returns them.
    field_um : float
        Width of tissue that fills the encoder's input, um.
    sizes : TinyVitSizes
        Sizes of the encoder.
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
        sizes: TinyVitSizes | None = None,
        input_px: int = 1024,
        source: str = NAME,
    ):
        encoder = TinyVitEncoder(sizes)
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


def load_tinyvit(path: Path | str, field_um: float = FIELD_UM) -> TinyVitSamGuide:
    """Build the guide from a weight file in MobileSAM's layout.

    Parameters
    ----------
    path : Path or str
        ``.safetensors`` or ``mobile_sam.pt``.
    field_um : float
        Width of tissue that fills the encoder's 1024 px input, um.

    Raises
    ------
    GuideError
        If the file is missing, damaged or of another architecture.
    """
    path = Path(path)
    return TinyVitSamGuide(encoder_state(read_state(path), str(path)), field_um, source=str(path))

"""A network with the student that guides it, as one function of the image."""

from dataclasses import replace

from torch import Tensor, nn

from nuguide.guides.student import TOKEN_PX, StudentGuide
from nuguide.models.inference import for_inference
from nuguide.models.model import Model
from nuguide.networks.cuda_graphs import GraphedNetwork
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.traceable import traceable


class WholeNetwork(GraphedNetwork):
    """A network, and the student that makes its tokens if there is one inside the model.

    Parameters
    ----------
    network : Module
        By the contract of ``nuguide.networks``.
    student : StudentGuide or None
        Reads the same image; None: tokens, if the network reads any, come from outside.
    bgr : bool
        Whether the network, not the student, takes its channels as BGR.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px
        As of every network.
    """

    def __init__(self, network: nn.Module, student: StudentGuide | None, bgr: bool):
        super().__init__()
        self.network, self.student, self.bgr = network, student, bgr
        self.reads_tokens = bool(getattr(network, "reads_tokens", False)) and student is None
        self.tile_px: int | None = getattr(network, "tile_px", None)
        self.grid_px = int(getattr(network, "grid_px", 16))
        self.eval()

    def compute(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits, launch by launch."""
        if self.student is not None:
            height, width = image.shape[-2:]
            rows, columns = ((px + TOKEN_PX - 1) // TOKEN_PX for px in (height, width))
            tokens = self.student(image.flip(1) if self.bgr else image)[..., :rows, :columns]
        outputs: dict[str, Tensor] = self.network(image, tokens)
        return outputs


class Recomputed(nn.Module):
    """A whole network that is computed in another way; the contract of networks stays.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px
        Of the network.
    """

    def __init__(self, network: WholeNetwork):
        super().__init__()
        self.network = network
        self.reads_tokens, self.tile_px = network.reads_tokens, network.tile_px
        self.grid_px = network.grid_px
        self.eval()


def whole(model: Model) -> tuple[Model, WholeNetwork]:
    """Put a model's student inside its network, and return the network too.

    A student stays outside where the network runs tile by tile: it reads beyond the tiles.

    Parameters
    ----------
    model : Model
        Plain, or as ``nuguide.load`` returns it.
    """
    if not isinstance(model.network, InferenceNetwork):
        model = for_inference(model)
    inside = model.guide if model.card.tile_px is None else None
    student = inside if isinstance(inside, StudentGuide) else None
    network = WholeNetwork(model.network, student, model.card.channel_order == "bgr")
    guide = model.guide if student is None else None
    return replace(model, network=network, guide=guide), network


def traceable_whole(network: WholeNetwork) -> WholeNetwork:
    """Return a copy that may be traced at one size for all, see ``nuguide.networks.traceable``."""
    inner = network.network
    if not isinstance(inner, InferenceNetwork):
        raise TypeError(f"got a network of {type(inner).__name__}; expected it folded")
    student = None if network.student is None else traceable(network.student)
    copy = WholeNetwork(traceable(inner.folded), student, network.bgr)
    copy.reads_tokens = network.reads_tokens
    return copy

"""The same function, faster: a network folded for inference.

Batch norm is folded into the convolution before it, and maps lie in memory pixel by pixel
(channels last), which the convolutions of inference on CPU and GPU prefer; training on CPU does
not.
"""

from copy import deepcopy
from itertools import pairwise
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from nuguide.networks.cuda_graphs import GraphedNetwork
from nuguide.networks.upsampled_conv import UpsampledConv2d

Network = TypeVar("Network", bound=nn.Module)


def folded(module: Network) -> Network:
    """Return a copy for inference in which batch norms have become part of their convolutions.

    Every ``nn.Sequential`` inside is looked through for a convolution (``nn.Conv2d`` or
    ``UpsampledConv2d``) with a ``nn.BatchNorm2d`` right after it; a batch norm elsewhere stays.
    The names of the weights that are left do not change.
    """
    copy = deepcopy(module).eval().requires_grad_(False)
    for part in list(copy.modules()):
        if isinstance(part, nn.Sequential):
            _fold_pairs(part)
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fold_pairs(chain: nn.Sequential) -> None:
    for (_, convolution), (name, norm) in pairwise(chain.named_children()):
        if not isinstance(convolution, nn.Conv2d | UpsampledConv2d):
            continue
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            continue  # it normalises each batch by itself: nothing fixed to fold
        weight, bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
        )
        convolution.weight = weight.requires_grad_(False)
        convolution.bias = bias.requires_grad_(False)
        setattr(chain, name, nn.Identity())


class InferenceNetwork(GraphedNetwork):
    """A folded copy of a network; it predicts what the network does in evaluation mode.

    Parameters
    ----------
    network : Module
        By the contract of ``nuguide.networks``; it is not changed.

    Attributes
    ----------
    reads_tokens, tile_px, grid_px
        Of the network.

    Notes
    -----
    It cannot be trained nor saved as a model: its weights are no longer the network's.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.folded = folded(network)
        self.reads_tokens = bool(getattr(network, "reads_tokens", False))
        self.tile_px: int | None = getattr(network, "tile_px", None)
        self.grid_px = int(getattr(network, "grid_px", 16))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Refuse training mode.

        Raises
        ------
        ValueError
            If ``mode`` is true.
        """
        if mode:
            raise ValueError(
                "a network folded for inference cannot be trained; expected its plain form; "
                "take it from nuguide.models.checkpoint.load_model_folder"
            )
        return super().train(mode)

    @torch.no_grad()
    def compute(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits, launch by launch."""
        outputs: dict[str, Tensor] = self.folded(
            image.contiguous(memory_format=torch.channels_last), tokens
        )
        return outputs

"""torch.compile: kernels written and compiled for this network on this machine."""

import os
import shutil

import torch
from torch import Tensor, nn

from nuguide.backends.whole import WholeNetwork
from nuguide.errors import InputError

_COMPILERS = ("g++", "clang++", "c++", "cl")


class CompiledNetwork(nn.Module):
    """A network that ``torch.compile`` computes; the first image of a new kind of size is slow.

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
        self._compute = torch.compile(network.forward, dynamic=True)
        self.eval()

    @torch.no_grad()
    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits; see the network."""
        outputs: dict[str, Tensor] = self._compute(image, tokens)
        return outputs


def check_compiler() -> None:
    """Refuse a machine on which nothing can be compiled for the CPU.

    Raises
    ------
    InputError
        If there is no C++ compiler.
    """
    chosen = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([chosen] if chosen else _COMPILERS)):
        raise InputError(
            f"no C++ compiler ({chosen or ', '.join(_COMPILERS)}); expected one for the backend "
            "compile; install one (for example: apt install g++), or leave --backend out"
        )

"""torch.compile: kernels written and compiled for this network on this machine."""

import os
import shutil

import torch
from torch import Tensor

from nuguide.backends.whole import Recomputed, WholeNetwork
from nuguide.errors import InputError

_COMPILERS = ("g++", "clang++", "c++", "cl")


class CompiledNetwork(Recomputed):
    """A network that ``torch.compile`` computes; the first image of each size is slow.

    Notes
    -----
    Compiled size by size: as one for all sizes it took torch 2.13 more than five minutes, and more
    than three by the traceable form (``nuguide.networks.traceable``), against one to two.
    """

    def __init__(self, network: WholeNetwork):
        super().__init__(network)
        self._compute = torch.compile(network.forward, dynamic=False)

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

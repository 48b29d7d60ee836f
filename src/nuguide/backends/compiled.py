"""torch.compile: kernels written and compiled for this network on this machine."""

import os
import shutil

import torch
from torch import Tensor

from nuguide.backends.whole import Recomputed, WholeNetwork
from nuguide.errors import InputError
from nuguide.networks.cuda_graphs import launched_singly

_MOST_KINDS = 256
"""Layers of one class times sizes of regions; those beyond torch's own 8 it would not compile."""

_COMPILERS = ("g++", "clang++", "c++", "cl")


class CompiledNetwork(Recomputed):
    """A network that ``torch.compile`` computes; the first image of each size is slow.

    Notes
    -----
    Compiled size by size, in some seconds each: with one graph for all sizes torch 2.13 was not
    done after five minutes, even by the traceable form (``nuguide.networks.traceable``).
    """

    def __init__(self, network: WholeNetwork):
        super().__init__(network)
        self._compute = torch.compile(network.forward, dynamic=False)

    @torch.no_grad()
    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        """Predict the heads' logits; see the network.

        Raises
        ------
        InputError
            If it cannot be compiled here: a compiler that is there may lack headers, or not work.
        """
        try:
            # Singly: compiled in pieces, whose kernels come to be while it is computed.
            with launched_singly(), torch._dynamo.config.patch(recompile_limit=_MOST_KINDS):
                outputs: dict[str, Tensor] = self._compute(image, tokens)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"the network cannot be compiled here ({reason}); expected a C++ compiler that "
                "works for torch.compile; mend it, or leave --backend out"
            ) from error
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

"""What others released, in a process of its own.

nuguide lets its process keep freed memory (``nuguide.networks.allocator``), which is part of what
makes it fast; what was released has the settings of any other process, where glibc maps large maps
anew for every layer. Both in one process would share them, whatever is set in between.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import torch
from plain_form import plain_form
from torch import nn

from nuguide.networks.eunet3plus import EUNet3Plus

TILE_PX = 256
PARTS = ("encoder", "decoder", "fusion")


class Released:
    """Runs what others released, one at a time.

    Parameters
    ----------
    threads : int
        Of torch.
    instanseg : Path or None
        See ``benchmarks/pipeline.py``.
    """

    def __init__(self, threads: int, instanseg: Path | None):
        self._process = ProcessPoolExecutor(
            1, get_context("spawn"), torch.set_num_threads, (threads,)
        )
        self._instanseg = instanseg

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def __call__(self, what: str) -> Callable[[], float]:
        """Return what runs something over there and returns its seconds.

        Names are ``sam``, ``tile``, one of ``PARTS``, ``instanseg`` and ``step WIDTH BATCH``.
        """
        return lambda: self._process.submit(_seconds, what, self._instanseg).result()


def _seconds(what: str, instanseg: Path | None) -> float:
    run = _made(what, instanseg)
    with torch.inference_mode(not what.startswith("step")):
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


@cache
def _made(what: str, instanseg: Path | None) -> Callable[[], object]:
    if what == "sam":
        encoder, field = sam_encoder(), torch.rand(1, 3, 1024, 1024)
        return lambda: encoder(field)
    if what == "instanseg":
        if instanseg is None:
            raise ValueError("no folder of InstanSeg; expected one")
        network, large = instanseg_network(instanseg), torch.rand(1, 3, 1024, 1024)
        return lambda: network(large)
    if what.startswith("step"):
        _, width, batch = what.split()
        trained = plain_form(trainable(int(width)))
        images = torch.rand(int(batch), 3, TILE_PX, TILE_PX)
        return lambda: step(trained, images)
    return _part(what)


@cache
def _published() -> nn.Module:
    return plain_form(EUNet3Plus(width=32, fusion="released").eval())


def _part(what: str) -> Callable[[], object]:
    plain = _published()
    tile, tokens = torch.rand(1, 3, TILE_PX, TILE_PX), torch.randn(1, 256, 64, 64)
    with torch.inference_mode():
        maps = plain.encode(tile, tokens)
    runs: dict[str, Callable[[], object]] = {
        "tile": lambda: plain(tile, tokens),
        "encoder": lambda: plain.encode(tile, tokens),
        "decoder": lambda: plain.decoder(maps),
        "fusion": lambda: plain.fuse(maps[-1], tokens),
    }
    return runs[what]


def sam_encoder() -> nn.Module:
    """Return a SAM ViT-B image encoder of random weights, (1, 3, 1024, 1024) in."""
    from transformers import SamVisionConfig, SamVisionModel

    encoder: nn.Module = SamVisionModel(SamVisionConfig())
    return encoder.eval()


def trainable(width: int) -> EUNet3Plus:
    """Return a network as recipes train it."""
    return EUNet3Plus(width=width, heads=("nuclei", "distance"), dropout=0)


def step(network: nn.Module, image: torch.Tensor) -> None:
    """Run forward and backward, float32."""
    backward(network, network.train()(image))


def backward(network: nn.Module, outputs: dict[str, torch.Tensor]) -> None:
    """Run backward, and let go of the gradients."""
    torch.stack([x.float().square().mean() for x in outputs.values()]).sum().backward()
    network.zero_grad(set_to_none=True)


def instanseg_network(folder: Path) -> nn.Module:
    """Return InstanSeg's network with random weights."""
    sys.path.append(str(folder))
    # The file alone: its package asks for more than its network needs.
    source = folder / "instanseg" / "utils" / "models" / "InstanSeg_UNet.py"
    spec = importlib.util.spec_from_file_location("instanseg_unet", source)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no network at {source}; see pipeline.py --help for how to make it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.InstanSeg_UNet(
        in_channels=3, out_channels=[[2, 1, 1]], layers=[256, 128, 64, 32]
    )
    return network.eval()

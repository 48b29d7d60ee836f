"""A model as a file for other programs, checked against torch before it is there.

The graph has one input, ``image``: float32 (1, 3, H, W), RGB in 0..1 unless the card says BGR, of
any height and width, at the card's um/px. A network whose guide lies outside the model has a
second one, ``tokens``: float32 (1, 256, h, w), the guide's tokens over exactly the image. Its
outputs are logits of the image's size: ``nuclei`` (1, 2, H, W), background and nucleus, whose
probability is sigmoid(nucleus - background); and, if the network has them, ``distance``
(1, 1, H, W), the distance to the nucleus' border divided by the nucleus' largest, ``offsets``
(1, 2, H, W) and ``types`` (1, K, H, W), see ``nuguide.networks.heads``.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nuguide.backends.graph import TOLERANCE, Graph, largest_difference
from nuguide.backends.onnx_runtime import open_session
from nuguide.backends.openvino_runtime import import_openvino, session_of
from nuguide.backends.registry import Backend, check_installed
from nuguide.backends.session import run_session
from nuguide.backends.whole import whole
from nuguide.errors import ModelError, OutputError
from nuguide.files import make_folder, replacing_folder
from nuguide.guides.fields import encode_extent
from nuguide.models.card import Card
from nuguide.models.model import Model
from nuguide.models.registry import load

CARD = "card.toml"

SIZES = ((128, 192), (256, 96), (97, 130), (33, 257), (61, 48))
"""Sizes at which an exported file is compared, px: those of regions, and odd ones."""


class Format(StrEnum):
    """Forms of an exported model."""

    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCHSCRIPT = "torchscript"


FILES = {
    Format.ONNX: "model.onnx",
    Format.OPENVINO: "model.xml",
    Format.TORCHSCRIPT: "model.torchscript.pt",
}
"""The file that other programs open."""

Compute = Callable[[Sequence[Tensor]], list[Tensor]]


def export_graph(model: str | Path, folder: Path, form: Format) -> float:
    """Write a model, named as for ``nuguide.load``, for other programs.

    Parameters
    ----------
    model : str or Path
        Its name or folder.
    folder : Path
        Gets the file (``FILES``) and the model's card; made, and must be new or empty.
    form : Format
        Which form.

    Returns
    -------
    float
        Largest absolute difference of a logit to torch's, over ``SIZES``.

    Raises
    ------
    InputError
        If the runtime that checks the file is not installed.
    ModelError
        If the model has no such form, or the file computes something else; nothing is left then.
    OutputError
        If the folder is not empty or cannot be written.
    GuideError
        If the weights of a guide outside the model are missing: it tells the tokens' size.
    """
    if form is not Format.TORCHSCRIPT:
        check_installed(Backend(form.value))
    _refuse_full(folder)
    loaded = load(model)
    joined, network = whole(loaded)
    graph = Graph(network, _token_px(joined) if network.reads_tokens else None)
    make_folder(folder.absolute().parent)
    with replacing_folder(folder) as aside:
        compute = _WRITE[form](graph, loaded.card, aside)
        difference = compared(graph, compute)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"{loaded.card.name} as {form} differs from torch by {difference:.1e}; expected at "
                f"most {TOLERANCE:.0e} in every logit; nothing was written: choose another --format"
            )
        (aside / CARD).write_text(loaded.card.to_toml(), encoding="utf-8")
    return difference


def compared(graph: Graph, compute: Compute) -> float:
    """Return the largest difference between what computes a graph and torch, over ``SIZES``."""
    tile = graph.network.tile_px
    sizes: tuple[tuple[int, int], ...] = ((tile, tile),) if tile else SIZES
    if graph.token_px is not None:
        # Off the grid, where tokens end differs from guide to guide.
        step = graph.network.grid_px
        sizes = tuple((-(-h // step) * step, -(-w // step) * step) for h, w in sizes)
    examples = [graph.example(height, width) for height, width in sizes]
    return max(largest_difference(graph.expected(each), compute(each)) for each in examples)


def _refuse_full(folder: Path) -> None:
    if folder.absolute() == Path.cwd():
        raise OutputError(
            f"{folder} is the folder that you are in, which is not replaced by another; expected "
            "a new folder; choose one with -o"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{folder} is there already and not empty; expected a new folder; "
            "choose another with -o"
        )


def _token_px(model: Model) -> float:
    """Return the side of a token of the model's guide, px of the model."""
    if model.guide is None:
        raise ModelError(
            f"{model.card.name} reads tokens and names no guide; expected one; correct the card"
        )
    side = model.card.tile_px or 256
    blank = np.full((side, side, 3), 255, np.uint8)
    return encode_extent(model.guide, blank, model.card.mpp).token_um / model.card.mpp


def _write_onnx(graph: Graph, card: Card, folder: Path) -> Compute:
    import onnx

    model = onnx.load_model_from_string(graph.to_onnx())
    facts = {
        "model": f"{card.name} {card.version}",
        "sha256_of_weights": card.sha256,
        "licence_of_weights": card.licence,
        "um_per_px": f"{card.mpp:g}",
        "channel_order": card.channel_order,
        "tile_px": str(card.tile_px or "any"),
    }
    onnx.helper.set_model_props(model, facts)
    content = model.SerializeToString()
    (folder / FILES[Format.ONNX]).write_bytes(content)
    return partial(run_session, open_session(content, torch.get_num_threads()))


def _write_openvino(graph: Graph, card: Card, folder: Path) -> Compute:
    openvino = import_openvino()
    core, path = openvino.Core(), folder / FILES[Format.OPENVINO]
    openvino.save_model(core.read_model(graph.to_onnx()), path, compress_to_fp16=False)
    session = session_of(core, core.read_model(path), torch.get_num_threads())
    return partial(run_session, session)


def _write_torchscript(graph: Graph, card: Card, folder: Path) -> Compute:
    file, script = io.BytesIO(), graph.to_torchscript()
    with warnings.catch_warnings():
        # torch would rather have its newer form, which other languages do not read yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        # By way of memory: where the disk is full torch's own writer ends the process.
        torch.jit.save(script, file)
        (folder / FILES[Format.TORCHSCRIPT]).write_bytes(file.getvalue())
        file.seek(0)
        read = torch.jit.load(file)  # type: ignore[no-untyped-call]

    def compute(inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(read(*inputs))

    return compute


_WRITE: dict[Format, Callable[[Graph, Card, Path], Compute]] = {
    Format.ONNX: _write_onnx,
    Format.OPENVINO: _write_openvino,
    Format.TORCHSCRIPT: _write_torchscript,
}

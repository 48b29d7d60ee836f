"""Models on disk: ``model.safetensors`` with its card ``model.toml`` beside it.

Keys of the weights are ``network.*`` and, where the guide is a student inside the model,
``guide.*``. The card holds the weight file's sha256, so that the two cannot be mixed up.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from nuguide.errors import GuideError, ModelError, OutputError
from nuguide.files import make_folder, replacing
from nuguide.guides.base import Guide
from nuguide.guides.student import StudentGuide
from nuguide.guides.weights import check_finite, misfit, some
from nuguide.models.card import Card, GuideSpec, read_card
from nuguide.models.model import Model, NamedGuide
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import build_network

MODEL_FILES = WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.toml"

MAX_WEIGHT_BYTES = 4 << 30
"""Largest weight file that is read."""

State = Mapping[str, torch.Tensor]
Built = TypeVar("Built", bound=nn.Module)


def save_model(model: Model, folder: Path) -> Model:
    """Write a model to ``folder``, made if absent.

    Parameters
    ----------
    model : Model
        A student guide (a Module) is written with it; a named one by its name only.
    folder : Path
        Gets ``model.safetensors`` and ``model.toml``; a model already there is replaced.

    Returns
    -------
    Model
        The same with the card's ``sha256`` set to that of the file.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    ModelError
        If a weight is NaN or infinite, the card does not name the guide that the model has, or the
        model was loaded for inference.
    """
    refuse_folded(model)
    if isinstance(model.guide, nn.Module) != (model.card.guide.kind == "student"):
        raise ModelError(
            f"the card of {model.card.name} names a guide of kind {model.card.guide.kind!r}, the "
            f"model's is {type(model.guide).__name__}; expected 'student' for a guide with weights "
            "inside the model and for no other; correct the card"
        )
    state = _state(model)
    refuse_nan(state, model.card.name)
    content = save(state)
    card = model.card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    write_model_files(content, card, folder)
    return replace(model, card=card)


def refuse_folded(model: Model) -> None:
    """Refuse a model whose weights are no longer its network's.

    Raises
    ------
    ModelError
        If it was loaded for inference, or given to a backend or to several views since.
    """
    parts = model.network.modules()
    if model.backend != "torch" or any(isinstance(part, InferenceNetwork) for part in parts):
        raise ModelError(
            f"the weights of {model.card.name} are folded for inference; expected its plain form; "
            "read it with nuguide.models.registry.load_plain"
        )


def write_model_files(weights: bytes, card: Card, folder: Path) -> None:
    """Write weights and card to ``folder`` as they are.

    Each file is written aside and renamed, the card last: a folder that was interrupted in
    between has no card, or one whose sha256 does not fit and which is therefore refused.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    make_folder(folder)
    for name, content in ((WEIGHTS_FILE, weights), (CARD_FILE, card.to_toml().encode())):
        with replacing(folder / name) as aside:
            aside.write_bytes(content)


def write_card(card: Card, folder: Path) -> None:
    """Replace the card of the model in ``folder``; its weights stay.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    with replacing(folder / CARD_FILE) as aside:
        aside.write_text(card.to_toml(), encoding="utf-8")


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that holds a model already.

    Raises
    ------
    OutputError
        If it has one of the two files.
    """
    for name in MODEL_FILES:
        if (folder / name).exists():
            raise OutputError(
                f"{folder} holds a model already ({name}); expected a folder without one; "
                "choose another with -o"
            )


def load_model_folder(folder: Path) -> Model:
    """Read the model that ``save_model`` wrote to ``folder``; see ``load_model_files``."""
    return load_model_files(folder / WEIGHTS_FILE, folder / CARD_FILE)


def load_model_files(weights: Path, card: Path) -> Model:
    """Read a model from its two files.

    Parameters
    ----------
    weights, card : Path
        The safetensors file and the TOML card.

    Returns
    -------
    Model
        On the CPU, network in evaluation mode. A named guide reads its own weights at first use.

    Raises
    ------
    ModelError
        If a file is missing, too large or damaged, the sha256 differs from the card's, a weight is
        NaN or infinite, the keys or shapes are not those of the network that the card names, or
        what the card says of guide, tiles and scale is not what network and student need.
    """
    described = read_card(card)
    state = read_verified(weights, described.sha256)
    refuse_nan(state, str(weights))
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "guide": {}}
    if foreign := sorted(key for key in state if key.partition(".")[0] not in parts):
        raise ModelError(
            f"{weights} has, unexpected, {some(foreign)}; expected keys that begin with network. "
            "or guide.; give the weights that belong to the card"
        )
    for key, tensor in state.items():
        part, _, name = key.partition(".")
        parts[part][name] = tensor
    spec = described.network
    network = filled(
        lambda: build_network(spec.architecture, **spec.options), parts["network"], str(weights)
    )
    guide = _filled_guide(described.guide, parts["guide"], str(weights))
    model = Model(network=network, guide=guide, card=described)
    if fault := _unfit(model):
        raise ModelError(f"{card} {fault}; correct the card")
    return model


def read_verified(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Read a safetensors file after comparing its digest.

    Raises
    ------
    ModelError
        If it is missing, too large, not the file that ``sha256`` was taken of, or no safetensors.
    """
    try:
        size = path.stat().st_size
        if size > MAX_WEIGHT_BYTES:
            raise ModelError(
                f"{path} has {size} bytes; expected at most {MAX_WEIGHT_BYTES}; "
                "take the model from where it was published"
            )
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"no weights at {path} ({error.strerror}); expected safetensors beside the card; "
            "take the model from where it was published"
        ) from error
    if found != sha256:
        raise ModelError(
            f"{path} has sha256 {found[:12]}...; expected {sha256[:12]}... by its card; "
            "the file is damaged or another's: take the model from where it was published"
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is no safetensors file ({error}); expected named tensors; "
            "take the model from where it was published"
        ) from error


def _unfit(model: Model) -> str:
    """Word what a card says that its network or student cannot work with; empty if nothing."""
    tile_px: int | None = getattr(model.network, "tile_px", None)
    if tile_px is not None and model.card.tile_px != tile_px:
        return (
            f"has tile_px = {model.card.tile_px}; expected {tile_px}: the network pools over all "
            "that it is given, and was trained on tiles of that side"
        )
    if getattr(model.network, "reads_tokens", False) and model.guide is None:
        return "names no guide; expected the one whose tokens its network reads"
    if isinstance(model.guide, StudentGuide) and not model.guide.reads(model.card.mpp):
        return (
            f"has mpp = {model.card.mpp:g} and a student that reads {model.guide.mpp:g} um/px; "
            "expected the same"
        )
    return ""


def _state(model: Model) -> dict[str, torch.Tensor]:
    parts = {"network": model.network}
    guide: object = model.guide
    if isinstance(guide, nn.Module):
        parts["guide"] = guide
    return {
        f"{part}.{key}": _shortest(tensor.detach().cpu().contiguous().clone())
        for part, module in parts.items()
        for key, tensor in module.state_dict().items()
    }


def _shortest(tensor: torch.Tensor) -> torch.Tensor:
    """Return weights as float16 if that holds every one of them exactly.

    Such are those that came from a GPU machine as float16; a network reads them as float32.
    """
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if torch.equal(half.to(tensor.dtype), tensor) else tensor


def _filled_guide(spec: GuideSpec, state: State, source: str) -> Guide | None:
    if spec.kind != "student" and state:
        raise ModelError(
            f"{source} holds weights of a guide ({some(sorted(state))}); expected none for one "
            f"of kind {spec.kind!r}; give the weights that belong to the card"
        )
    if spec.kind == "none":
        return None
    if spec.kind == "named":
        return NamedGuide(spec.name, spec.field_um)
    options: dict[str, Any] = spec.options
    return filled(lambda: StudentGuide(**options), state, source)


def filled(build: Callable[[], Built], state: State, source: str) -> Built:
    """Build a module, load ``state`` if it fits, and freeze it in evaluation mode."""
    # Built without memory first: a hostile card may name a width that no file of weights has.
    try:
        with torch.device("meta"):
            skeleton = build()
    except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        raise ModelError(
            f"{source}: the card's options make no module ({error}); expected arguments of its "
            "class; take the model from where it was published"
        ) from error
    if fault := misfit(skeleton, state):
        raise ModelError(f"{source} {fault}; give the weights that belong to the card")
    module = build()
    module.load_state_dict(state, strict=False)
    return module.eval().requires_grad_(False)


def refuse_nan(state: State, source: str) -> None:
    """Refuse weights that are NaN or infinite.

    Raises
    ------
    ModelError
        Naming the first such key.
    """
    try:
        check_finite(state, source)
    except GuideError as error:
        raise ModelError(str(error)) from error

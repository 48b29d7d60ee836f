"""Weights of guides and models as data: one digest, one way to read them, one check.

A state is a mapping of key to tensor, as ``Module.state_dict`` gives it. Files come from outside:
pickles are read with ``weights_only=True`` alone, sizes are bounded before anything is read or
unpacked.
"""

import hashlib
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from nuguide.errors import GuideError

State = dict[str, torch.Tensor]

MAX_FILE_BYTES = 8 << 30
"""Largest weight file that is opened, and most that it may hold; SAM ViT-H has 2.6 GB."""

UNREADABLE = (
    UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    struct.error,
)
"""What ``torch.load`` raises of damaged bytes."""

_WRAPPERS = ("model_state", "state_dict", "model")


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """Return the sha256 of a state: names, dtypes, shapes and bytes, keys in sorted order.

    It depends on the numbers alone, not on the file format or the order of the keys.

    Parameters
    ----------
    state : mapping of str to Tensor
        Any dtypes, any shapes; read on the CPU.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        shape = ",".join(str(side) for side in tensor.shape)
        sha.update(f"{key}\0{str(tensor.dtype).removeprefix('torch.')}\0{shape}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def read_state(path: Path) -> State:
    """Read a weight file into a flat state on the CPU.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a ``.pth``/``.pt``/``.bin`` checkpoint that holds a state, bare or
        under ``model_state``, ``state_dict`` or ``model``.

    Returns
    -------
    dict of str to Tensor
        The file's keys as they are; a leading ``state.`` or ``module.`` on every key is dropped.

    Raises
    ------
    GuideError
        If the file is missing, too large, or not a plain file of weights.
    """
    if not path.is_file():
        raise GuideError(f"no weight file at {path}; expected .safetensors or .pth; check the path")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise GuideError(
            f"{path} has {size} bytes; expected at most {MAX_FILE_BYTES}; give the "
            "encoder's weights"
        )
    state = _safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)
    for prefix in ("state.", "module."):
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise GuideError(
            f"{path} is damaged ({error}); expected safetensors; fetch the file again"
        ) from error


def _checkpoint(path: Path) -> State:
    content = read_pickled(path, MAX_FILE_BYTES)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    state = dense_tensors(content)
    if not state:
        raise GuideError(
            f"{path} holds no named tensors; expected a state dict, bare or under "
            f"{', '.join(_WRAPPERS)}; give a checkpoint of the encoder"
        )
    # One number of the file may be repeated to a tensor of any size.
    _check_held(path, sum(x.numel() * x.element_size() for x in state.values()), MAX_FILE_BYTES)
    return state


def read_pickled(path: Path, max_bytes: int) -> object:
    """Read what ``torch.save`` wrote: tensors and plain values alone, on the CPU.

    Parameters
    ----------
    path : Path
        Any file.
    max_bytes : int
        Most that it may unpack to: torch unpacks what a zip file has compressed.

    Raises
    ------
    GuideError
        If it would unpack to more, or is damaged, or needs code to be run.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_held(path, sum(each.file_size for each in archive.infolist()), max_bytes)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        # torch's own text advises to unpickle without care: it is not passed on.
        raise GuideError(
            f"{path} cannot be read as plain weights ({type(error).__name__}); expected a whole "
            "checkpoint of tensors only; fetch it again, or save its state dict as safetensors "
            "where it was made"
        ) from error


def dense_tensors(content: object) -> State:
    """Return those entries of a mapping that are plain arrays of numbers in memory."""
    items = content.items() if isinstance(content, Mapping) else ()
    return {str(key): value for key, value in items if _is_dense(value)}


def _is_dense(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"  # one that was saved without its numbers is on "meta"
        and not (value.is_quantized or value.is_nested)
    )


def _check_held(path: Path, held: int, limit: int) -> None:
    if held > limit:
        raise GuideError(
            f"{path} unpacks to {held} bytes; expected at most {limit}; fetch it again from where "
            "it was published"
        )


def load_checked(module: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Load ``state`` into ``module`` after checking keys, shapes and values.

    Parameters
    ----------
    module : Module
        Takes the tensors as they are; it may lie on the meta device.
    state : mapping of str to Tensor
        Exactly the module's keys, in its shapes, all finite; BatchNorm's ``num_batches_tracked``,
        which inference never reads, may be absent.
    source : str
        Where the weights came from, for the error message.

    Raises
    ------
    GuideError
        If a key is missing or foreign, a shape differs, or a value is NaN or infinite.
    """
    if fault := misfit(module, state):
        raise GuideError(f"{source} {fault}; give weights of this architecture")
    check_finite(state, source)
    # Assigned, not copied: a module made on the meta device has nothing to copy into.
    module.load_state_dict(dict(state), strict=False, assign=True)


def misfit(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> str:
    """Word how a state does not fit a module; empty if it does.

    Parameters
    ----------
    module : Module
        May lie on the meta device.
    state : mapping of str to Tensor
        Fits with exactly the module's keys and shapes, and floating point where it has it;
        BatchNorm's ``num_batches_tracked``, which inference never reads, may be absent.

    Returns
    -------
    str
        What was got and what was expected: the first few keys that are missing or foreign, or
        the first of another shape or kind.
    """
    expected = module.state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(set(expected) - set(state) - counters)
    foreign = sorted(set(state) - set(expected))
    if missing or foreign:
        return (
            f"lacks {some(missing)} and has, unexpected, {some(foreign)}; expected the keys of "
            f"{type(module).__name__}"
        )
    for key, value in state.items():
        wanted = expected[key]
        if value.shape != wanted.shape or value.is_floating_point() != wanted.is_floating_point():
            return (
                f"has {key} as {value.dtype} {tuple(value.shape)}; expected {wanted.dtype} "
                f"{tuple(wanted.shape)} in {type(module).__name__}"
            )
    return ""


def check_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse a state that holds NaN or infinity.

    Raises
    ------
    GuideError
        Naming the first such key.
    """
    for key, value in state.items():
        # A sum is NaN or infinite if any term is; in double no finite weights add up to infinity.
        if value.is_floating_point() and not math.isfinite(value.double().sum().item()):
            raise GuideError(
                f"{source}: {key} holds NaN or infinite values; expected finite weights; "
                "fetch the file again"
            )


def some(keys: list[str]) -> str:
    """Word the first three of ``keys`` and how many more there are."""
    if not keys:
        return "none"
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")

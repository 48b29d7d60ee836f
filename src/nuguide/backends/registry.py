"""Backends by name: each takes a model and gives one that computes the same function."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from importlib.metadata import version
from importlib.util import find_spec

import torch

from nuguide.errors import InputError, nearest_names
from nuguide.models.model import Model


class Backend(StrEnum):
    """What computes a model.

    ``bfloat16`` and ``int8`` are other functions: ``auto`` never chooses them.
    """

    TORCH = "torch"
    COMPILE = "compile"
    ONNX = "onnx"
    OPENVINO = "openvino"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


AUTO = "auto"
"""The fastest on this machine of those that are installed and need no compiler."""

RUNTIMES = {
    Backend.ONNX: "onnxruntime",
    Backend.OPENVINO: "openvino",
    Backend.INT8: "onnxruntime",
}
"""The package that a backend computes with."""

_WRITER = "onnx"
"""The package with which torch writes the graph that a runtime opens."""

EXTRAS = {Backend.ONNX: "onnx", Backend.OPENVINO: "openvino", Backend.INT8: "onnx"}
"""The extra of nuguide that brings it."""


def with_backend(model: Model, name: str, device: str = "auto") -> Model:
    """Give a model to a backend.

    Parameters
    ----------
    model : Model
        As ``nuguide.load`` returns it. It is not changed.
    name : str
        A ``Backend``, or ``auto``.
    device : str
        Where it will run, as torch names it; ``auto`` takes a GPU if there is one.

    Returns
    -------
    Model
        The same function, within rounding; its ``backend`` and ``precision`` say what computes it.
        A student inside the model may have become part of its network. It cannot be trained or
        saved.

    Raises
    ------
    InputError
        If there is no such backend, or this machine lacks what it needs.
    """
    if name == AUTO:
        # It measures, and so needs what this file gives.
        from nuguide.backends.choice import fastest

        name = Backend.TORCH if _is_gpu(device) else fastest(model)
    if name not in list(Backend):
        raise InputError(f"no backend {name!r}; {nearest_names(name, [AUTO, *Backend])}")
    backend = Backend(name)
    if model.backend == backend:
        return model
    if model.views != 1:
        raise InputError(
            f"the model looks at regions in {model.views} views; expected one as nuguide.load "
            f"returns it for the backend {backend}; give it to the backend first, to views then"
        )
    if model.backend != Backend.TORCH:
        raise InputError(
            f"the model is computed by {model.backend} already; expected one as nuguide.load "
            "returns it; load it again"
        )
    check_installed(backend)
    return _PREPARE[backend](model, device)


def is_installed(backend: Backend) -> bool:
    """Tell whether the packages that a backend needs are there."""
    return not _missing(backend)


def check_installed(backend: Backend) -> None:
    """Refuse a backend of which a package is missing.

    Raises
    ------
    InputError
        Naming the way to install it.
    """
    if missing := _missing(backend):
        raise InputError(
            f"the backend {backend} needs {' and '.join(missing)}, not installed here; expected "
            f"nuguide's extra {EXTRAS[backend]}; pip install 'nuguide[{EXTRAS[backend]}]'"
        )


def _missing(backend: Backend) -> list[str]:
    needed = (RUNTIMES[backend], _WRITER) if backend in RUNTIMES else ()
    return [package for package in needed if find_spec(package) is None]


def versions_of(backend: str) -> dict[str, str]:
    """Return the version of the package that a backend computes with, beside torch."""
    package = RUNTIMES.get(Backend(backend))
    return {} if package is None else {package: version(package)}


def _is_gpu(device: str) -> bool:
    return torch.cuda.is_available() if device == "auto" else not device.startswith("cpu")


def _onnx(model: Model, device: str) -> Model:
    from nuguide.backends.onnx_runtime import open_session
    from nuguide.backends.session import SessionNetwork
    from nuguide.backends.whole import whole

    _refuse_gpu(Backend.ONNX, device)
    joined, network = whole(model)
    return replace(joined, network=SessionNetwork(network, open_session), backend=Backend.ONNX)


def _openvino(model: Model, device: str) -> Model:
    from nuguide.backends.openvino_runtime import open_session
    from nuguide.backends.session import SessionNetwork
    from nuguide.backends.whole import whole

    _refuse_gpu(Backend.OPENVINO, device)
    joined, network = whole(model)
    session = SessionNetwork(network, open_session)
    return replace(joined, network=session, backend=Backend.OPENVINO)


def _compile(model: Model, device: str) -> Model:
    from nuguide.backends.compiled import CompiledNetwork, check_compiler
    from nuguide.backends.whole import whole

    if not _is_gpu(device):
        check_compiler()
    joined, network = whole(model)
    return replace(joined, network=CompiledNetwork(network), backend=Backend.COMPILE)


def _bfloat16(model: Model, device: str) -> Model:
    from nuguide.backends.half import HalfNetwork, check_hardware
    from nuguide.backends.whole import whole

    kind = ("cuda" if _is_gpu(device) else "cpu") if device == "auto" else device
    check_hardware(torch.device(kind))
    joined, network = whole(model)
    half = HalfNetwork(network)
    return replace(joined, network=half, backend=Backend.BFLOAT16, precision="bfloat16")


def _int8(model: Model, device: str) -> Model:
    from nuguide.backends.eight_bits import EightBitNetwork
    from nuguide.backends.whole import whole

    _refuse_gpu(Backend.INT8, device)
    joined, network = whole(model)
    if network.reads_tokens:
        raise InputError(
            f"{model.card.name} reads tokens of a guide outside it; expected a model without a "
            "guide, or with a student inside, for the backend int8; choose another --backend"
        )
    eight_bits = EightBitNetwork(network)
    return replace(joined, network=eight_bits, backend=Backend.INT8, precision="int8")


def _refuse_gpu(backend: Backend, device: str) -> None:
    if _is_gpu(device):
        raise InputError(
            f"the backend {backend} computes on the CPU, and the device is a GPU; expected "
            "--device cpu with it; or leave --backend out"
        )


_PREPARE: dict[Backend, Callable[[Model, str], Model]] = {
    Backend.TORCH: lambda model, device: model,
    Backend.COMPILE: _compile,
    Backend.ONNX: _onnx,
    Backend.OPENVINO: _openvino,
    Backend.BFLOAT16: _bfloat16,
    Backend.INT8: _int8,
}

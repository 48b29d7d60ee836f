import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from nuguide.backends import registry
from nuguide.backends.graph import Graph
from nuguide.backends.half import HalfNetwork
from nuguide.backends.registry import EXTRAS, RUNTIMES, Backend, with_backend
from nuguide.backends.session import Array, Session, SessionNetwork
from nuguide.backends.whole import whole
from nuguide.errors import InputError, ModelError
from nuguide.models.model import Model
from nuguide.segmentation.predictor import predict_maps


def test_torch_is_the_model_as_it_is(unguided: Model) -> None:
    assert with_backend(unguided, "torch") is unguided
    assert unguided.backend == "torch"


def test_an_unknown_backend_is_answered_with_the_nearest(unguided: Model) -> None:
    with pytest.raises(InputError, match=r"no backend 'onix'; did you mean onnx"):
        with_backend(unguided, "onix")


@pytest.mark.parametrize("backend", [Backend.ONNX, Backend.OPENVINO])
def test_a_missing_package_is_one_line_that_says_what_to_install(
    backend: Backend, unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install 'nuguide\[{backend}\]'") as refused:
        with_backend(unguided, backend, "cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("backend", RUNTIMES)
def test_a_runtime_without_the_package_that_writes_its_graph_is_not_installed(
    backend: Backend, unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "onnx" else object())
    assert not registry.is_installed(backend)
    with pytest.raises(InputError, match=rf"needs onnx,.*nuguide\[{EXTRAS[backend]}\]"):
        with_backend(unguided, backend, "cpu")


def test_no_compiler_is_one_line(unguided: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"no C\+\+ compiler.*install one"):
        with_backend(unguided, "compile", "cpu")


def test_a_compiler_that_does_not_work_is_one_line(
    unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("CppCompileError: no Python.h\n\nSet ...")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    network = with_backend(unguided, "compile", "cpu").network
    with pytest.raises(InputError, match=r"compiled here \(CppCompileError: no Python\.h\)"):
        network(torch.rand(1, 3, 32, 32))


def test_what_computes_on_the_cpu_refuses_a_gpu(
    unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: object())
    with pytest.raises(InputError, match="--device cpu"):
        with_backend(unguided, "onnx", "cuda")


def test_a_model_has_one_backend(unguided: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: True)
    once = with_backend(unguided, "bfloat16", "cpu")
    assert with_backend(once, "bfloat16", "cpu") is once
    with pytest.raises(InputError, match="computed by bfloat16 already"):
        with_backend(once, "compile", "cpu")


def test_bfloat16_is_close_and_says_what_it_is(
    guided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: True)
    half = with_backend(guided, "bfloat16", "cpu")
    assert isinstance(half.network, HalfNetwork)
    assert half.precision == "bfloat16"
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    expected, found = (predict_maps(x, rgb).foreground for x in (guided, half))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05


def test_bfloat16_is_refused_where_it_is_only_imitated(
    unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: False)
    with pytest.raises(InputError, match="does not compute bfloat16"):
        with_backend(unguided, "bfloat16", "cpu")


def wrong_session(graph: bytes, threads: int) -> Session:
    """Open a graph as a runtime that computes something else."""

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        shape = inputs[0].shape[2:]
        return [np.zeros((1, channels, *shape), np.float32) for channels in (2, 1)]

    return run


def test_a_runtime_that_computes_another_function_is_refused(unguided: Model) -> None:
    _, network = whole(unguided)
    with pytest.raises(ModelError, match="differs from torch"):
        SessionNetwork(network, wrong_session)(torch.rand(1, 3, 32, 32))


def test_a_network_without_words_in_onnx_is_one_line(unguided: Model) -> None:
    class Spectral(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.entr(x)

    _, network = whole(unguided)
    network.network.folded.encoder.pool = torch.nn.Sequential(Spectral(), torch.nn.MaxPool2d(2))
    with pytest.raises(ModelError, match=r"cannot be written as a graph.*backend torch") as refused:
        Graph(network).to_onnx()
    assert "\n" not in str(refused.value)


def test_openvino_is_imported_without_what_reports_on_its_users() -> None:
    pytest.importorskip("openvino", reason="openvino is an extra")
    script = (
        "import sys\n"
        "from nuguide.backends.openvino_runtime import import_openvino\n"
        "import_openvino()\n"
        "import openvino.tools.ovc.telemetry_utils as told\n"
        "print(told.tm.__name__, 'openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]

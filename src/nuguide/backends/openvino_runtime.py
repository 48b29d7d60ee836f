"""OpenVINO, on the CPU."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from nuguide.backends.session import Array, Session, told


def open_session(graph: bytes, threads: int) -> Session:
    """Open a graph in OpenVINO; see ``nuguide.backends.session.OpenSession``."""
    openvino = import_openvino()
    core = openvino.Core()
    with told("OpenVINO", (RuntimeError,)):
        model = core.read_model(graph)
    return session_of(core, model, threads)


def session_of(core: Any, model: Any, threads: int) -> Session:
    """Compile what OpenVINO has read."""
    # Left alone it computes in bfloat16 where the machine can, which is another function.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    with told("OpenVINO", (RuntimeError,)):
        compiled = core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        with told("OpenVINO", (RuntimeError,)):
            made = request.infer(list(inputs), share_inputs=True)
        return [made[place] for place in range(len(compiled.outputs))]

    return run


def import_openvino() -> ModuleType:
    """Import OpenVINO, silent: its package tells its makers of every import over the network.

    Without the package that does so, it does not; so that is hidden meanwhile.
    """
    reporter = "openvino_telemetry"
    known = sys.modules.get(reporter)
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[reporter]
        if known is not None:
            sys.modules[reporter] = known
    module: ModuleType = openvino
    return module

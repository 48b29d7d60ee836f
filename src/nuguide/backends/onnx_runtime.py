"""ONNX Runtime, on the CPU."""

from collections.abc import Sequence

from nuguide.backends.session import Array, Session, told


def open_session(graph: bytes, threads: int) -> Session:
    """Open a graph in ONNX Runtime; see ``nuguide.backends.session.OpenSession``."""
    import onnxruntime

    faults, options = _faults(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone: it warns of every size that it finds open
    with told("ONNX Runtime", faults):
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        with told("ONNX Runtime", faults):
            made: Sequence[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
        return made

    return run


def _faults() -> tuple[type[Exception], ...]:
    """Return its own kinds of errors, which have no base but ``Exception``."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (each for each in vars(state).values() if isinstance(each, type))
    return tuple(each for each in kinds if issubclass(each, Exception))

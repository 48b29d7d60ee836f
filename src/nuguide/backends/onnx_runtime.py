"""ONNX Runtime, on the CPU."""

from collections.abc import Sequence

from nuguide.backends.session import Array, Session


def open_session(graph: bytes, threads: int) -> Session:
    """Open a graph in ONNX Runtime; see ``nuguide.backends.session.OpenSession``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone: it warns of every size that it finds open
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        made: Sequence[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
        return made

    return run

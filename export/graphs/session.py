"""Opening an exported graph in ONNX Runtime, as the served backend does."""

from pathlib import Path

import onnxruntime

_ERROR = 3
"""Of ONNX Runtime's levels: it warns that shared weights are no constants, which keeps it from copying them."""


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args:
        path: the ONNX file.
        threads: of an operator; 0 lets ONNX Runtime choose.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERROR
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

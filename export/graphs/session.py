"""Opening an exported graph in ONNX Runtime, as the served backend does."""

from pathlib import Path

import onnxruntime


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Where files of shared weights lie beside the graph, ONNX Runtime reads them where they are mapped: by default it
    would copy the weights of a product into an order of its own.

    Args:
        path: the ONNX file.
        threads: of an operator; 0 lets ONNX Runtime choose.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if any(path.parent.glob("*.npy")):
        options.add_session_config_entry("session.disable_prepacking", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

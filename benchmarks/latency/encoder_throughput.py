"""Throughput of the exported encoders beside PyTorch: the same model, a batch of 32, one thread each.

Blocks of calls alternate and medians are compared, so that a noisy machine affects all alike.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.common.encoder_subjects import Subject
from benchmarks.common.rows import Row, row
from export.graphs.variants import Precision, variant_file

BATCH = 32
ROUNDS = 15
BLOCK_SECONDS = 0.15
EXPORTED: tuple[Precision, ...] = ("fp32", "int8")

Call = Callable[[], object]


def measure(measured: Sequence[Subject]) -> list[Row]:
    """Inputs a second of PyTorch and of ONNX Runtime, and their ratio.

    Args:
        measured: of :func:`benchmarks.common.encoder_subjects.subjects`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [line for subject in measured for line in _compare(subject)]
    finally:
        torch.set_num_threads(threads)


def _compare(subject: Subject) -> list[Row]:
    batch = np.resize(subject.samples, (BATCH, *subject.samples.shape[1:]))
    tensor, module = torch.from_numpy(batch), subject.encoder.module
    name = subject.encoder.signature.inputs[0].name

    def eager() -> None:
        with torch.inference_mode():
            module(tensor)

    calls: dict[str, Call] = {"PyTorch": eager}
    for precision in EXPORTED:
        session = _session(subject.folder / variant_file(precision))
        calls[f"ONNX Runtime {precision}"] = lambda session=session: session.run(None, {name: batch})  # type: ignore[misc]
    seconds = _medians(calls)
    rows = [row(f"{subject.name}, {label}", BATCH / value, "inputs/s") for label, value in seconds.items()]
    best = seconds["PyTorch"] / min(value for label, value in seconds.items() if label != "PyTorch")
    target = "" if subject.encoder.modality == "audio" else ">= 2"
    return [*rows, row(f"{subject.name}, better of fp32 and int8 to PyTorch", best, "x", target)]


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _medians(calls: dict[str, Call]) -> dict[str, float]:
    """Median seconds of a call, from alternating blocks."""
    sizes = {}
    for label, call in calls.items():
        call()
        sizes[label] = max(1, round(BLOCK_SECONDS / _block(call, 3)))
    times: dict[str, list[float]] = {label: [] for label in calls}
    for _ in range(ROUNDS):
        for label, call in calls.items():
            times[label].append(_block(call, sizes[label]))
    return {label: float(np.median(values)) for label, values in times.items()}


def _block(call: Call, count: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count

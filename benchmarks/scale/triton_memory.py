"""How many copies of the item vectors does Triton hold? All graphs of millions of items, served and asked once."""

import tempfile
from pathlib import Path

import numpy as np
import psutil
from tritonclient.grpc import InferenceServerClient, InferInput, model_config_pb2
from tritonclient.utils import triton_to_np_dtype

from benchmarks.common.rows import Row, row
from benchmarks.scale.subjects import sized_graphs
from winnow.local import triton
from winnow.ports import Ports

ITEMS, FEW, DIMENSION = 5_000_000, 2_000, 64
_KINDS = {model_config_pb2.TYPE_INT32: "INT32", model_config_pb2.TYPE_FP32: "FP32"}
_TIMEOUT_S = 60


def measure(items: int = ITEMS) -> list[Row]:
    """Proportional set size of Triton and its processes, beside that with few items."""
    base, large = _resident(FEW), _resident(items)
    copy = 4 * DIMENSION * items
    return [
        row(f"Triton with {FEW:,} items", base / 2**20, "MiB"),
        row(f"Triton with {items:,} items", large / 2**20, "MiB"),
        row("one copy of the vectors", copy / 2**20, "MiB"),
        row("what the items add, in copies of their vectors", (large - base) / copy, "", "<= 1.4"),
    ]


def _resident(items: int) -> int:
    with tempfile.TemporaryDirectory(prefix="winnow-triton-memory-") as scratch:
        folder = Path(scratch)
        repository = sized_graphs.write(folder, items)
        ports, models = Ports.free(), triton.models_in(repository)
        server = triton.server(repository, models, folder / "run", ports=ports, log=folder / "triton.log")
        with server, InferenceServerClient(f"127.0.0.1:{ports.triton_grpc}") as client:
            for model in models:
                _ask(client, model)
            root = psutil.Process(server.pid)
            return sum(process.memory_full_info().pss for process in (root, *root.children(recursive=True)))


def _ask(client: InferenceServerClient, model: str) -> None:
    """Send zeros: the answer reads every vector that the model reads."""
    inputs = []
    for tensor in client.get_model_config(model).config.input:
        kind = _KINDS[tensor.data_type]
        shape = [1, *(1 if size < 0 else size for size in tensor.dims)]
        inputs.append(InferInput(tensor.name, shape, kind))
        inputs[-1].set_data_from_numpy(np.zeros(shape, triton_to_np_dtype(kind)))
    client.infer(model, inputs, model_version="1", client_timeout=_TIMEOUT_S)

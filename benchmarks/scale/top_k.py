"""The exact list of one user over a million items on one thread: the exported search beside its alternatives."""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch import from_numpy as tensor

from benchmarks.common.rows import Row, row
from export.graphs.onnx_model import write_onnx
from export.graphs.session import open_session
from winnow.models.scan import Scan, scan_of
from winnow.models.topk import best_items, block_sizes, highest
from winnow.signatures import ModelSignature, TensorSpec

ITEMS, DIMENSION, COUNT, ROUNDS = 1_000_000, 64, 400, 9
_ROWS = ITEMS + 1
"""The first row of the vectors is padding."""

_BLOCK = math.prod(block_sizes(_ROWS, COUNT))

_SEARCH = ModelSignature(
    "search",
    (TensorSpec("query", "FP32", ("B", "D")),),
    (TensorSpec("candidates", "INT32", ("B", "K")), TensorSpec("candidate_scores", "FP32", ("B", "K"))),
)
_SELECTION = ModelSignature(
    "selection",
    (TensorSpec("scores", "FP32", ("B", "I")), TensorSpec("others", "FP32", ("B", "R"))),
    (TensorSpec("values", "FP32", ("B", "K")), TensorSpec("items", "INT64", ("B", "K"))),
)


class Search(nn.Module):
    """The search of the served graphs alone."""

    def __init__(self, item_vectors: Tensor, scan: Scan | None = None) -> None:
        super().__init__()
        self.scan = scan
        self.register_buffer("item_vectors", item_vectors)
        self.item_vectors: Tensor

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Query float32 [B, D] to items and scores."""
        return best_items(query, self.item_vectors, COUNT, scan=self.scan)


class Selection(nn.Module):
    """The two stages over given scores."""

    def forward(self, scores: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Scores float32 of whole blocks and of the rows after them to the highest and their positions."""
        return highest(lambda first, _: others if first else scores, _ROWS, COUNT)


def measure() -> list[Row]:
    """Milliseconds, medians of alternating runs."""
    import faiss

    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((_ROWS, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0.0
    query = random.standard_normal((1, DIMENSION), np.float32)
    with tempfile.TemporaryDirectory(prefix="winnow-top-k-") as scratch:
        folder = Path(scratch)
        codes = scan_of(tensor(vectors), "int8")
        assert codes is not None
        arrays = {"item_vectors": tensor(vectors)}
        for name, scan in (("search", None), ("coarse", codes)):
            search = Search(arrays["item_vectors"], scan).eval()
            arrays = dict(search.named_buffers())
            files = {buffer: folder / f"{buffer}.npy" for buffer in arrays}
            for buffer, array in arrays.items():
                np.save(files[buffer], array.numpy())
            write_onnx(search, _SEARCH, {"query": tensor(query)}, folder / f"{name}.onnx", files)
        (folder / "selection").mkdir()
        scores = query @ vectors.T
        parts = dict(zip(("scores", "others"), np.split(scores, [_ROWS - _ROWS % _BLOCK], 1), strict=True))
        samples = {name: tensor(part.copy()) for name, part in parts.items()}
        write_onnx(Selection(), _SELECTION, samples, folder / "selection" / "two.onnx")
        exact, coarse, two = (
            open_session(folder / name, threads=1) for name in ("search.onnx", "coarse.onnx", "selection/two.onnx")
        )
        onnx.save(_one_stage(), folder / "selection" / "one.onnx")
        one = open_session(folder / "selection" / "one.onnx", threads=1)
        index = faiss.IndexFlatIP(DIMENSION)
        index.add(vectors)
        times = _alternating(
            {
                "exact search": lambda: exact.run(None, {"query": query}),
                "int8 search": lambda: coarse.run(None, {"query": query}),
                "faiss.IndexFlatIP": lambda: index.search(query, COUNT),
                "TopK in two stages": lambda: two.run(None, parts),
                "one TopK": lambda: one.run(None, {"scores": scores}),
            }
        )
        # Without scans in between, which evict the scores from the cache.
        cached = _alternating({"two": lambda: two.run(None, parts), "one": lambda: one.run(None, {"scores": scores})})
        found, near = (session.run(None, {"query": query})[0][0] for session in (exact, coarse))
        scores[0, 0] = -np.inf
        expected = np.argsort(-scores[0], kind="stable")[:COUNT]
        same = two.run(None, parts)[1][0] == one.run(None, {"scores": scores})[1][0]
    size = f"{ITEMS:,} x {DIMENSION}, k = {COUNT}, one thread"
    return [
        *(row(f"{name}, {size}", milliseconds, "ms") for name, milliseconds in times.items()),
        row("two stages / one TopK", times["TopK in two stages"] / times["one TopK"], "", "<= 0.5"),
        row("of scores in the cache", cached["two"] / cached["one"], ""),
        row("of them the same ids", float(same.mean()), "", ">= 1"),
        row("exact search / faiss.IndexFlatIP", times["exact search"] / times["faiss.IndexFlatIP"], "", "<= 1.0"),
        row("recall of the exact search", float(np.isin(expected, found).mean()), "", ">= 1"),
        row("int8 search / exact search", times["int8 search"] / times["exact search"], "", "<= 0.5"),
        row("recall of the int8 search", float(np.isin(expected, near).mean()), "", ">= 0.99"),
    ]


def _one_stage() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("TopK", ["scores", "k"], ["values", "items"])],
        "one",
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["B", _ROWS])],
        [
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["B", COUNT]),
            helper.make_tensor_value_info("items", TensorProto.INT64, ["B", COUNT]),
        ],
        [numpy_helper.from_array(np.array([COUNT]), "k")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _alternating(subjects: dict[str, Callable[[], object]]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS + 1):
        for name, run in subjects.items():
            started = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - started))
    # The first round reads the vectors from disk.
    return {name: statistics.median(times[1:]) for name, times in taken.items()}

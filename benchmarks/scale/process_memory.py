"""Resident memory of fresh processes that load what grows with the items: the retriever's graph, and the catalog."""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.scale.sized_release import ReleaseSize, equal_histories, write
from export.repository import export_model
from export.triton.version import MODEL_FILE
from winnow.models.served import ServedRetriever
from winnow.models.towers import Shapes
from winnow.settings.training import RetrieverSettings
from winnow.signatures import RETRIEVER
from winnow.training.retriever.trained import build_towers

FEW, MANY = 20_000, 220_000
"""Items of the two loads whose difference is the memory per item."""

_MOST_S = 120
_CANDIDATES = 400

_SHAPES = Shapes(
    items=8,
    events=2,
    item_cardinalities=(8,),
    item_tables=(0,),
    item_numerics=(),
    user_cardinalities=(8,),
    user_tables=(0,),
    user_numerics=1,
    modalities={},
)

_GRAPH = """
import ctypes, sys, onnxruntime, psutil
process = psutil.Process()
before = process.memory_info().rss
session = onnxruntime.InferenceSession(sys.argv[1])
ctypes.CDLL("libc.so.6").malloc_trim(0)
print(process.memory_info().rss - before)
"""

_CATALOG = """
import sys, pathlib, psutil
from recommender_transformer.backends.catalog import Catalog
from winnow.release import Release
process = psutil.Process()
before = process.memory_info().rss
catalog = Catalog(Release.open(pathlib.Path(sys.argv[1])))
print(process.memory_info().rss - before)
"""


def graph_bytes(items: int, dimension: int = 64) -> int:
    """Bytes that a process needs more with the retriever's exported graph of this many items."""
    _, tower = build_towers(_SHAPES, RetrieverSettings(dimension=dimension))
    vectors = functional.normalize(torch.randn(items + 1, dimension), dim=1)
    length = RetrieverSettings().history_length
    samples = {
        "history_items": torch.randint(1, items, (2, length), dtype=torch.int32),
        "history_events": torch.ones(2, length, dtype=torch.int32),
        "history_gaps": torch.ones(2, length),
        "user_categorical": torch.ones(2, 1, dtype=torch.int32),
        "user_numeric": torch.ones(2, 1),
    }
    with tempfile.TemporaryDirectory(prefix="winnow-units-graph-") as scratch:
        served = ServedRetriever(tower.eval(), vectors, _CANDIDATES, hides_history=True)
        export_model(served, RETRIEVER, 1, Path(scratch), samples, 1e-3)
        return _measured(_GRAPH, Path(scratch) / RETRIEVER.name / "1" / MODEL_FILE)


def catalog_bytes(items: int) -> int:
    """Bytes that a process needs more with the transformer's catalog of this many items."""
    with tempfile.TemporaryDirectory(prefix="winnow-units-catalog-") as scratch:
        return _measured(_CATALOG, write(Path(scratch), 1, ReleaseSize(items, equal_histories(1, 1))).folder)


def _measured(code: str, path: Path) -> int:
    """The number that the code prints in a new interpreter."""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_MOST_S)  # noqa: S603
    return int(done.stdout.split()[-1])

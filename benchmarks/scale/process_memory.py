"""Resident memory of fresh processes that load what grows with the items: the retriever's graph, and the catalog."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.scale.subjects import sized_graphs
from benchmarks.scale.subjects.sized_release import ReleaseSize, equal_histories, write

FEW, MANY = 20_000, 220_000
"""Items of the two loads whose difference is the memory per item."""

_MOST_S = 120
_GRAPH = """
import pathlib, sys, numpy, psutil
from export.graphs.session import open_session
process = psutil.Process()
before = process.memory_info().rss
session = open_session(pathlib.Path(sys.argv[1]))
# A request reads all vectors, which are mapped from their file.
kinds = {"tensor(int32)": "i4", "tensor(float)": "f4"}
session.run(None, {given.name: numpy.zeros([1, given.shape[1]], kinds[given.type]) for given in session.get_inputs()})
print(process.memory_info().rss - before)
"""

_CATALOG = """
import sys, pathlib, numpy, psutil
from recommender_transformer.backends.catalog import Catalog
from winnow.release import Release
process = psutil.Process()
before = process.memory_info().rss
catalog = Catalog(Release.open(pathlib.Path(sys.argv[1])))
# Requests read the mapped pages of the items that they are about: all of them, with time.
for first in range(0, catalog.size + 1, 1000):
    items = numpy.arange(first, min(first + 1000, catalog.size + 1))
    catalog.vectors.take(items), catalog.rows.take(items), catalog.words(items)
    catalog.find([catalog.item_id(item).encode() for item in items.tolist()])
print(process.memory_info().rss - before)
"""


def graph_bytes(items: int, dimension: int = 64) -> int:
    """Bytes that a process needs more with the retriever's exported graph of this many items."""
    with tempfile.TemporaryDirectory(prefix="winnow-units-graph-") as scratch:
        retriever = next(sized_graphs.export(Path(scratch), items, dimension))
        return _measured(_GRAPH, retriever)


def catalog_bytes(items: int) -> int:
    """Bytes that a process needs more with the transformer's catalog of this many items."""
    with tempfile.TemporaryDirectory(prefix="winnow-units-catalog-") as scratch:
        return _measured(_CATALOG, write(Path(scratch), 1, ReleaseSize(items, equal_histories(1, 1))).folder)


def _measured(code: str, path: Path) -> int:
    """The number that the code prints in a new interpreter."""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_MOST_S)  # noqa: S603
    return int(done.stdout.split()[-1])

"""Approximate retrieval beside FAISS' exact scan: one thread, one user, k = 400.

Two kinds of vectors, both of width 64: random directions, the hardest case, for which no part of the catalog can be
left out; and a trained release's, enlarged. Every enlarged vector lies on the line between a trained item and one of
its ten nearest, at a random place, and has unit length if the trained ones have; users are the release's own.
"""

import time
from collections.abc import Callable

import faiss
import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest
from export.graphs.session import open_session
from winnow import home
from winnow.release import Release
from winnow.retrieval.approximate import Floats, Items, Queries, approximate, milliseconds, one_thread
from winnow.retrieval.history import assemble_many, user_tensors
from winnow.signatures import RETRIEVER

ITEMS, LARGE = 1_000_000, 10_000_000
COUNT, WIDTH, USERS = 400, 64, 100
RECALL = 0.98
_NEAREST = 10
_CHUNK = 50_000

Made = tuple[Floats, Floats, Items]
"""Item vectors [n + 1, D], user vectors [B, D], and histories [B, L]."""


def measure() -> list[Row]:
    """One million items: recall and latency against ``IndexFlatIP``."""
    rows = []
    for name, make in (("trained", trained), ("random", random)):
        rows += _compare(name, make, ITEMS)
    return rows


def measure_large() -> list[Row]:
    """Ten million items, of a trained release: memory, build time and latency."""
    return _compare("trained", trained, LARGE)


def random(items: int) -> Made:
    """Random directions."""
    drawn = np.random.default_rng(0)
    vectors = drawn.standard_normal((items + 1, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    users = drawn.standard_normal((USERS, WIDTH), dtype=np.float32)
    return vectors, users, np.zeros((USERS, 1), np.int32)


def trained(items: int) -> Made:
    """The newest release's vectors, enlarged.

    Raises:
        WinnowError: there is no release.
    """
    served = newest()
    known = np.array(served.array("item_vectors")[1:])
    nearest = _nearest(known)
    drawn = np.random.default_rng(0)
    vectors = np.zeros((items + 1, known.shape[1]), np.float32)
    for start in range(1, items + 1, _CHUNK):
        chunk = vectors[start : start + _CHUNK]
        one = drawn.integers(0, len(known), len(chunk))
        other = nearest[one, drawn.integers(0, nearest.shape[1], len(chunk))]
        place = drawn.random((len(chunk), 1), np.float32)
        chunk[:] = (1 - place) * known[one] + place * known[other]
        length = (1 - place[:, 0]) * np.linalg.norm(known[one], axis=1) + place[:, 0] * np.linalg.norm(
            known[other], axis=1
        )
        chunk *= (length / np.linalg.norm(chunk, axis=1))[:, None]
    users, history = _users(served)
    return vectors, users, history


def _nearest(known: Floats) -> Items:
    index = faiss.IndexFlatIP(known.shape[1])
    index.add(known)
    return index.search(known, min(_NEAREST + 1, len(known)))[1][:, 1:].astype(np.int32)


def _users(served: Release) -> tuple[Floats, Items]:
    offsets = served.array("offsets")
    active = np.flatnonzero(np.diff(offsets) > 0)
    some = active[:: max(1, len(active) // USERS)][:USERS]
    item, event, timestamp = (served.array(name) for name in ("item", "event", "timestamp"))
    length = served.manifest.history_length
    history = assemble_many(item, event, timestamp, offsets[some], offsets[some + 1], length)
    tensors = user_tensors(history, served.array("user_rows")[some])
    number = served.manifest.number
    session = open_session(home.model_repository(number) / RETRIEVER.name / str(number) / "model.onnx")
    [users] = session.run(["user_vector"], tensors)
    # The enlarged catalog's items are others than those of the histories, so none is hidden.
    return users, np.zeros_like(tensors["history_items"])


def _compare(name: str, make: Callable[[int], Made], items: int) -> list[Row]:
    vectors, users, history = make(items)
    what = f"{items:,} {name} vectors"
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    tuned = approximate(vectors, Queries(users, history, COUNT, False), RECALL)
    seconds = time.perf_counter() - start
    used = psutil.Process().memory_info().rss - before
    index = tuned.search.index
    with one_thread():
        exact = faiss.IndexFlatIP(vectors.shape[1])
        exact.add(vectors[1:])
        scans, searches = [], []
        for _ in range(5):  # in turn, so that both meet the same load
            scans.append(milliseconds(lambda one: exact.search(users[one], COUNT), len(users)))
            searches.append(milliseconds(lambda one: tuned.search.best(users[one], history[one]), len(users)))
    scan, search = float(np.median(scans)), float(np.median(searches))
    return [
        row(f"{what}: recall@{COUNT}", tuned.recall, "share", f">= {RECALL}"),
        row(f"{what}: search / IndexFlatIP", search / scan, "x", "<= 0.1"),
        row(f"{what}: search", search, "ms"),
        row(f"{what}: IndexFlatIP", scan, "ms"),
        row(f"{what}: lists read", tuned.probed, f"of {tuned.lists}"),
        row(f"{what}: items scored again per candidate", tuned.search.refine, "x"),
        row(f"{what}: index beside the vectors", len(faiss.serialize_index(index)) / 1e6, "MB"),
        row(f"{what}: memory used by build and index", used / 1e6, "MB"),
        row(f"{what}: build and tuning, one thread", seconds, "s"),
    ]

"""The nearest items of every item, computed at the build: the answer to "similar items" without a search."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.models.topk import best_items

NEAREST = 64
"""``M``, neighbours of an item: 256 bytes, as much as its vector of 64 dimensions. Requests for more are scanned."""

SCANNED_ITEMS = 50_000
"""Catalogs up to this size are compared exactly on a CPU, in seconds; larger ones by lists of near items."""

_AT_ONCE = 256
_PER_LIST = 256
"""Items per list, on average."""

_PROBED = 16
"""Lists that a search reads."""

_SAMPLE = 64
"""Items per list that the lists are learned from."""


def nearest_items(vectors: Tensor, count: int = NEAREST, device: str = "cpu") -> NDArray[np.int32]:
    """The items with the highest cosine with each item, without the item itself.

    On a GPU, and for catalogs up to ``SCANNED_ITEMS``, the search is exact. Otherwise FAISS divides the items into
    lists and compares each item with those of the nearest lists, which finds nearly all.

    Args:
        vectors: float32 [n + 1, D], unit length; row 0 is padding.
        count: ``M``.
        device: torch's, for the exact search.

    Returns:
        int32 [n + 1, min(M, n - 1)], best first, padded with 0.
    """
    items = len(vectors) - 1
    count = min(count, items - 1)
    if count < 1:
        return np.zeros((items + 1, 0), np.int32)
    if items > SCANNED_ITEMS and device == "cpu":
        return _by_lists(vectors.numpy(), count)
    nearest = np.zeros((items + 1, count), np.int32)
    held = vectors.to(device)
    with torch.inference_mode():
        for start in range(1, items + 1, _AT_ONCE):
            own = torch.arange(start, min(start + _AT_ONCE, items + 1), dtype=torch.int32, device=device)
            found, _ = best_items(held[own.long()], held, count, own[:, None])
            nearest[start : start + len(own)] = found.cpu().numpy()
    return nearest


def _by_lists(vectors: NDArray[np.float32], count: int) -> NDArray[np.int32]:
    import faiss

    items, dimension = len(vectors) - 1, vectors.shape[1]
    lists = max(1, items // _PER_LIST)
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFFlat(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(items)[: _SAMPLE * lists] + 1
    index.train(vectors[np.sort(sample)])
    index.add(vectors[1:])
    index.nprobe = _PROBED
    nearest = np.zeros((items + 1, count), np.int32)
    for start in range(1, items + 1, _AT_ONCE):
        own = np.arange(start, min(start + _AT_ONCE, items + 1), dtype=np.int32)
        # One more, which is the item itself or, among equal vectors, may be another.
        _, found = index.search(vectors[own], count + 1)
        found = (found + 1).astype(np.int32)
        others = found != own[:, None]
        # Where the item is not among them, the last is dropped.
        others[others.all(axis=1), -1] = False
        nearest[own] = found[others].reshape(len(own), count)
    return nearest

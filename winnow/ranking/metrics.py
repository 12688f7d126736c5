"""Ranking metrics over held-out items, one per user."""

import numpy as np
from numpy.typing import NDArray


def recall(top: NDArray[np.int32], held_out: NDArray[np.int32], k: int) -> float:
    """Share of users whose held-out item is among their first ``k``.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        k: how far down a list counts.
    """
    return float((top[:, :k] == held_out[:, None]).any(axis=1).mean())


def ndcg(top: NDArray[np.int32], held_out: NDArray[np.int32], k: int) -> float:
    """Normalised discounted cumulative gain with one relevant item: mean of ``1 / log2(1 + position)``, 0 when missed.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        k: how far down a list counts.
    """
    hit = top[:, :k] == held_out[:, None]
    return float((hit / np.log2(np.arange(2, hit.shape[1] + 2))).sum(axis=1).mean())


def coverage(top: NDArray[np.int32], items: int, k: int) -> float:
    """Share of a catalog of ``items`` that is among the first ``k`` of at least one user."""
    shown = np.unique(top[:, :k])
    return float(np.count_nonzero(shown) / items)

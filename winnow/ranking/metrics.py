"""Ranking metrics over held-out items, one per user; each is 0 where there are no users."""

import numpy as np
from numpy.typing import NDArray

SHOWN = 10
"""Items of a list that a user sees."""


def recall(top: NDArray[np.int32], held_out: NDArray[np.int32], k: int) -> float:
    """Share of users whose held-out item is among their first ``k``.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        k: how far down a list counts.
    """
    return _mean(discounts(top, held_out, k) > 0)


def ndcg(top: NDArray[np.int32], held_out: NDArray[np.int32], k: int) -> float:
    """Normalised discounted cumulative gain with one relevant item: mean of ``1 / log2(1 + position)``, 0 when missed.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        k: how far down a list counts.
    """
    return _mean(discounts(top, held_out, k))


def value_ndcg(top: NDArray[np.int32], held_out: NDArray[np.int32], values: NDArray[np.float64], k: int) -> float:
    """NDCG with values as gains: ``sum(value[u] * d[u]) / sum(max(value[u], 0))`` over the users ``u``.

    ``d[u]`` is ``1 / log2(1 + position)`` of the user's held-out item, 0 when missed. The denominator is what the best
    lists gain: every item of positive value first, every other missed. So the largest result is 1, hits of negative
    value lower it, even below 0, and with equal positive values it is :func:`ndcg`. 0 where no value is positive.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        values: float64 [users], the value of what each user did with the held-out item.
        k: how far down a list counts.
    """
    attainable = float(np.maximum(values, 0.0).sum())
    return float((values * discounts(top, held_out, k)).sum()) / attainable if attainable > 0 else 0.0


def mean_value(top: NDArray[np.int32], held_out: NDArray[np.int32], values: NDArray[np.float64], k: int) -> float:
    """Mean value of the hits: of the users whose held-out item is among their first ``k``; 0 without hits.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        values: float64 [users], the value of what each user did with the held-out item.
        k: how far down a list counts.
    """
    return _mean(values[discounts(top, held_out, k) > 0])


def coverage(top: NDArray[np.int32], items: int, k: int) -> float:
    """Share of a catalog of ``items`` that is among the first ``k`` of at least one user."""
    shown = np.unique(top[:, :k])
    return float(np.count_nonzero(shown) / items)


def discounts(top: NDArray[np.int32], held_out: NDArray[np.int32], k: int) -> NDArray[np.float64]:
    """What each user's list gains: ``1 / log2(1 + position)`` of the held-out item, 0 where the first ``k`` lack it.

    Args:
        top: int32 [users, >= k], item indices, best first, padded with 0.
        held_out: int32 [users].
        k: how far down a list counts.

    Returns:
        float64 [users].
    """
    hits = top[:, :k] == held_out[:, None]
    gains: NDArray[np.float64] = (hits / np.log2(np.arange(2, hits.shape[1] + 2))).sum(axis=1)
    return gains


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0

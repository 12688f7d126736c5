"""The co-visitation source: items that other users interact with close to this user's recent ones. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMORY = 3.0
"""Events of the user's history after which one event counts a third of the newest."""

_COUNTED = 50_000
"""Items of a catalog up to which a count over all of it takes less time than sorting the touched ones."""


def covisitation_scores(
    neighbours: NDArray[np.int32],
    weights: NDArray[np.float32],
    history_items_newest_first: NDArray[np.int32],
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The strongest neighbours of a user's recent items.

    Args:
        neighbours: int32 [n + 1, M], padded with 0.
        weights: float32 [n + 1, M], 0 where padded.
        history_items_newest_first: int32 [h]; items of the history are not returned.
        k: how many items at most; fewer are returned where fewer have a score.

    Returns:
        items int32 [<= k] and scores float32, positive, best first (ties: the smaller index first).
    """
    fading = np.exp(-np.arange(len(history_items_newest_first)) / MEMORY)
    touched = neighbours[history_items_newest_first].ravel()
    added = (weights[history_items_newest_first] * fading[:, None]).ravel()
    hidden = np.append(history_items_newest_first, np.int32(0))
    items, totals = _sums(touched, added, hidden, len(neighbours))
    order = np.argsort(-totals, kind="stable")[:k]
    return items[order].astype(np.int32), totals[order].astype(np.float32)


def contributions(
    neighbours: NDArray[np.int32],
    weights: NDArray[np.float32],
    history_items_newest_first: NDArray[np.int32],
    item: int,
) -> NDArray[np.float64]:
    """What each event of a history adds to the score of one item: float64 [h].

    Args:
        neighbours: int32 [n + 1, M].
        weights: float32 [n + 1, M].
        history_items_newest_first: int32 [h].
        item: index of the item.
    """
    fading = np.exp(-np.arange(len(history_items_newest_first)) / MEMORY)
    added = np.where(neighbours[history_items_newest_first] == item, weights[history_items_newest_first], 0.0)
    return np.asarray(added.sum(axis=1) * fading, np.float64)


def _sums(
    touched: NDArray[np.int32], added: NDArray[np.floating[Any]], hidden: NDArray[np.int32], catalog: int
) -> tuple[NDArray[np.integer[Any]], NDArray[np.float64]]:
    """The distinct items of ``touched`` but the hidden ones, ascending, and the positive sum of what each adds."""
    if catalog <= _COUNTED:
        totals = np.asarray(np.bincount(touched, weights=added, minlength=catalog), np.float64)
        totals[hidden] = 0.0
        counted = (totals > 0).nonzero()[0]
        return counted, totals.take(counted)
    items, place = np.unique(touched, return_inverse=True)
    totals = np.asarray(np.bincount(place, weights=added), np.float64)
    wanted = (totals > 0) & ~np.isin(items, hidden)
    return items[wanted], totals[wanted]

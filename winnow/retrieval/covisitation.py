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
    items: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """What each item of a history adds to the scores of some items.

    Args:
        neighbours: int32 [n + 1, M].
        weights: float32 [n + 1, M].
        history_items_newest_first: int32 [h].
        items: int32 [k], distinct.

    Returns:
        The distinct items of the history, int32 [u], ascending, and what each adds, float64 [k, u].
    """
    fading = np.exp(-np.arange(len(history_items_newest_first)) / MEMORY)
    distinct, column = np.unique(history_items_newest_first, return_inverse=True)
    added = np.zeros((len(items), len(distinct)))
    if not added.size:
        return distinct, added
    touched = neighbours[history_items_newest_first]
    order = np.argsort(items)
    row = order[np.searchsorted(items, touched, sorter=order).clip(max=len(items) - 1)]
    event, place = np.nonzero(items[row] == touched)
    faded = weights[history_items_newest_first[event], place] * fading[event]
    np.add.at(added, (row[event, place], column[event]), faded)
    return distinct, added


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

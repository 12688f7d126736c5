"""The co-visitation source: items that other users interact with close to this user's recent ones. NumPy only."""

import numpy as np
from numpy.typing import NDArray

MEMORY = 3.0
"""Events of the user's history after which one event counts a third of the newest."""


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
    totals = np.bincount(touched, weights=added, minlength=1)
    totals[0] = 0.0
    totals[history_items_newest_first[history_items_newest_first < len(totals)]] = 0.0
    items = np.flatnonzero(totals)
    order = np.argsort(-totals[items], kind="stable")[:k]
    return items[order].astype(np.int32), totals[items[order]].astype(np.float32)

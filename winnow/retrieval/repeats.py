"""The history source: the items that a user comes back to. NumPy only."""

import numpy as np
from numpy.typing import NDArray

MEMORY = 100.0
"""Events after which an event counts a third of the newest: long, so that what a user takes most comes first."""


def history_scores(
    history_items_newest_first: NDArray[np.int32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The items of a history by how often, and then how recently, the user took them.

    Args:
        history_items_newest_first: int32 [h].
        k: how many items at most.

    Returns:
        items int32 [<= k] and scores float32, positive, best first (ties: the smaller index first).
    """
    fading = np.exp(-np.arange(len(history_items_newest_first)) / MEMORY)
    totals = np.bincount(history_items_newest_first, weights=fading, minlength=1)
    totals[0] = 0.0
    items = np.flatnonzero(totals)
    order = np.argsort(-totals[items], kind="stable")[:k]
    return items[order].astype(np.int32), totals[items[order]].astype(np.float32)

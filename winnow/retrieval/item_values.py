"""What a user's events say about the items of the history; shared by training and serving. NumPy only."""

import numpy as np
from numpy.typing import NDArray

_DECIMALS = 9
"""Sums are rounded, so that values such as 0.1, 0.2 and -0.3 cancel out."""


def item_values(
    items: NDArray[np.int32], events: NDArray[np.int32], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each event of a history, the summed value of the history's events with the same item.

    Args:
        items: int32 [h].
        events: int32 [h], event type codes.
        values: float64 [E + 1], value of an event by code.

    Returns:
        float64 [h]; negative for the events of a disliked item.
    """
    sums = (items[:, None] == items) @ values[events]
    return np.asarray(sums.round(_DECIMALS), np.float64)


def worth_following(summed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which events of a history the co-visitation source looks up: those of items with a positive value.

    Where no item has one, those of value 0: all that is known of a user whose events are only recorded.

    Args:
        summed: float64 [h], from :func:`item_values`.

    Returns:
        bool [h].
    """
    positive = summed > 0
    return positive if positive.any() else summed == 0

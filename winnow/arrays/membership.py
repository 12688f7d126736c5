"""Membership of many items in a short list."""

import numpy as np
from numpy.typing import NDArray


def are_among(items: NDArray[np.int32], few: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each item is one of a few: bool [n]. Faster than ``numpy.isin``, which first examines both.

    Args:
        items: int32 [n].
        few: int32 [k], in any order, repeated or not.
    """
    if not len(few):
        return np.zeros(len(items), np.bool_)
    in_order = np.sort(few)
    found: NDArray[np.bool_] = in_order.take(in_order.searchsorted(items), mode="clip") == items
    return found

"""Binary search in many sorted parts of one array at once. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def first_after(
    values: NDArray[Any], begin: NDArray[np.int64], end: NDArray[np.int64], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The first row of each part whose value is above a bound; the part's end where none is.

    Args:
        values: numbers, ascending within every part; may be memory-mapped, and only the rows compared are read.
        begin: int64 [k], first row of each part.
        end: int64 [k], the row after its last.
        bounds: int64 [k].

    Returns:
        int64 [k], rows from ``begin`` to ``end``.
    """
    low, high = begin.astype(np.int64), end.astype(np.int64)
    # The parts that are still open: most are short, and are found after a few halvings.
    left = np.flatnonzero(low < high)
    while len(left):
        middle = (low[left] + high[left]) // 2
        above = values[middle] > bounds[left]
        high[left[above]] = middle[above]
        low[left[~above]] = middle[~above] + 1
        left = left[low[left] < high[left]]
    return low

"""Offline lists: recommendations of a release's users, computed beforehand by the funnel, for as long as they hold.

A list is a packed array of item indices, best first. The hash :attr:`winnow.store.keys.Keys.lists` says that there are
lists, and how far their computation has come; it expires with the newest of them.
"""

import numpy as np
from numpy.typing import NDArray

LENGTH = 100
"""Items of a list: the largest ``k``, so that some remain when seen and unavailable ones are left out."""

EXPIRY_HOURS = 48
"""Default: lists are computed once a day, and stay when one computation fails."""


def encode(items: NDArray[np.int32]) -> bytes:
    """Pack a list."""
    return items.astype("<i4").tobytes()


def decode(packed: bytes, items: int) -> NDArray[np.int32]:
    """Unpack a list.

    Args:
        packed: the value in Redis.
        items: number of items of the release.

    Raises:
        ValueError: the value is no list of distinct items of the release.
    """
    found = np.frombuffer(packed, "<i4").astype(np.int32)
    if (len(found) and not 1 <= found.min() <= found.max() <= items) or len(np.unique(found)) < len(found):
        raise ValueError(f"an offline list must have distinct items from 1 to {items}")
    return found

"""Which page of a recommendation a query asks for."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.request import RecommendRequest

Marks = NDArray[np.uint32]
"""Marks of items: 24 bits of each item's hash (:mod:`winnow.bloom.hashing`), which every release computes alike."""

NO_MARKS: Marks = np.empty(0, np.uint32)


class Page(NamedTuple):
    """The page that a query asks for.

    Attributes:
        asked: the request of the first page, before arms of experiments set fields of it.
        shown: marks of the items of the earlier pages; empty for a first page.
        closed: why nothing can be shown without the risk of a repeat; "" where it can.
    """

    asked: RecommendRequest
    shown: Marks = NO_MARKS
    closed: str = ""

    @property
    def first(self) -> int:
        """Position of the page's first item."""
        return len(self.shown)


def marks(words: NDArray[np.uint64]) -> Marks:
    """The marks of items, from their generator words: uint64 [n, ...]."""
    return (words[:, 0] & np.uint64(0xFFFFFF)).astype(np.uint32)

"""Which page of a recommendation a query asks for."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.request import RecommendRequest

MARK_BYTES = 3
"""Bytes of an item's mark: the lowest of its hash's first generator word (:mod:`winnow.bloom.hashing`), which every
release computes alike."""


class Page(NamedTuple):
    """The page that a query asks for.

    Attributes:
        asked: the request of the first page, before arms of experiments set fields of it.
        shown: marks of the items of the earlier pages, in their order; empty for a first page.
        closed: why nothing can be shown without the risk of a repeat; "" where it can.
    """

    asked: RecommendRequest
    shown: bytes = b""
    closed: str = ""

    @property
    def first(self) -> int:
        """Position of the page's first item."""
        return len(self.shown) // MARK_BYTES

    def has(self, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether items were on the earlier pages, by their generator words: bool [n]."""
        return np.isin(_numbers(marks(words)), _numbers(self.shown))


def marks(words: NDArray[np.uint64]) -> bytes:
    """The marks of items, from their generator words: uint64 [n, w]."""
    return words.view(np.uint8)[:, :MARK_BYTES].tobytes()


def _numbers(packed: bytes) -> NDArray[np.uint32]:
    parts = np.frombuffer(packed, np.uint8).reshape(-1, MARK_BYTES).astype(np.uint32)
    return np.asarray(parts @ (1 << 8 * np.arange(MARK_BYTES, dtype=np.uint32)), np.uint32)

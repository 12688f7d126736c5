"""Items that are popular now, and the reserve behind all sources: the popular list that the release carries."""

import time

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList
from winnow.schema import FeatureSchema

_TTL_S = 5.0
"""Seconds for which the trending list is kept; it is one list for everybody."""


class Trending:
    """The head of the trending list. It is all there is to say to a stranger."""

    name = "trending"
    needs: tuple[str, ...] = ()

    def __init__(self, store: OnlineStore, popular: NDArray[np.int32], k: int) -> None:
        self._store = store
        self._popular = popular
        self._k = k
        self._held = popular[:0]
        self._expires = 0.0

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    async def find(self, query: Query) -> SourceList:
        """The head of the list as Redis has it, at most a few seconds old."""
        if time.monotonic() > self._expires:
            self._held = (await self._store.trending())[: self._k]
            self._expires = time.monotonic() + _TTL_S
        return _ranked(self._held)

    def fallback(self, query: Query) -> SourceList:
        """The list as last read, or the one the release carries."""
        return _ranked(self._held if len(self._held) else self._popular[: self._k])


class Popular:
    """Every item, most popular first, without asking anybody: what fills an answer when all else has run out."""

    name = "popular"

    def __init__(self, popular: NDArray[np.int32], item_rows: NDArray[np.void], schema: FeatureSchema) -> None:
        width = schema.item[0].width
        self._popular = popular
        self._categories = item_rows["categorical"][popular, :width]

    def items(self, query: Query) -> NDArray[np.int32]:
        """Item indices of the categories that the caller wants, best first."""
        if query.categories is None:
            return self._popular
        return self._popular[np.isin(self._categories, query.categories).any(axis=1)]


def _ranked(items: NDArray[np.int32]) -> SourceList:
    return SourceList(items, 1.0 / np.arange(1, len(items) + 1, dtype=np.float32))

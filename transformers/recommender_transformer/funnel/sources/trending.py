"""Items that are popular now, from Redis."""

import time

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result
from winnow.ranking.context import SourceList
from winnow.request import MAX_K

_TTL_S = 5.0
"""Seconds for which the list is cached; all users get the same list."""


class Trending:
    """The head of the trending list; for cold-start users, often the only source.

    Args:
        store: reads the list.
        popular: int32 [n], the release's items by popularity, used until the list has been read.
        k: length of the list.
    """

    name = "trending"
    needs: tuple[str, ...] = ()

    def __init__(self, store: OnlineStore, popular: NDArray[np.int32], k: int) -> None:
        self._store = store
        self._popular = popular
        self._k = k
        self._cached: NDArray[np.int32] = popular[:0]
        self._expires = 0.0

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def find(self, query: Query) -> Result[SourceList]:
        """The head of the list in Redis, at most ``_TTL_S`` seconds old."""
        return self._read(query) if time.monotonic() > self._expires else self._head(query, self._cached)

    def fallback(self, query: Query) -> SourceList:
        """The cached list, however old; the head of the release's popular items if none was read."""
        return self._head(query, self._cached if len(self._cached) else self._popular)

    def _head(self, query: Query, listed: NDArray[np.int32]) -> SourceList:
        return SourceList.by_rank(listed[: self._k])

    async def _read(self, query: Query) -> SourceList:
        self._cached = await self._store.trending()
        self._expires = time.monotonic() + _TTL_S
        return self._head(query, self._cached)


class TrendingList(Trending):
    """The trending list as an answer: of the requested categories, and longer.

    Args:
        store: reads the list, and gives the rows of the catalog.
        popular: int32 [n], the release's items by popularity, used until the list has been read.
        width: columns of the category in an item row.
    """

    def __init__(self, store: OnlineStore, popular: NDArray[np.int32], width: int) -> None:
        super().__init__(store, popular, 2 * MAX_K)
        self._rows = store.catalog.rows
        self._width = width

    def _head(self, query: Query, listed: NDArray[np.int32]) -> SourceList:
        if query.categories is not None:
            codes = self._rows.take(listed)["categorical"][:, : self._width]
            listed = listed[np.isin(codes, query.categories).any(axis=1)]
        return super()._head(query, listed)

"""Items similar to an item: those with the nearest vectors, new items included."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.similar_items import SimilarItems
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result
from winnow.ranking.context import NOTHING, SourceList


class Similar:
    """Reads the release's table where it has enough neighbours, and scans the vectors in a thread otherwise.

    The table has enough for half as many items, because filters remove some. It does not know of categories.

    Args:
        items: finds similar items.
        k: length of a list; at least that of the answer where no ranker takes it.
        matches: scores the items that match a request's conditions, where they are few.
    """

    name = "similar"
    needs: tuple[str, ...] = ()

    def __init__(self, items: SimilarItems, k: int, matches: Matches) -> None:
        self._matches = matches
        self._items = items
        self._k = k

    def enabled(self, query: Query) -> bool:
        """For requests with ``like``."""
        return query.asked.item > 0

    def find(self, query: Query) -> Result[SourceList]:
        """The items with the highest cosine, the item itself among them; also sets ``query.sources.content_vector``."""
        item = query.asked.item
        query.sources.content_vector = self._items.vector(item)
        # To someone's taste, the ranker takes the candidates, whose number the release bounds.
        count = self._k if query.has_person else max(self._k, query.request.k)
        if (few := query.matching.few) is not None:
            return self._among(few, item, count)
        if self._items.has_table(item) and query.categories is None and 2 * query.request.k <= self._items.table_width:
            return self._items.from_table(item)
        return asyncio.to_thread(self._items.scan, item, count, query.categories)

    async def _among(self, few: NDArray[np.int32], item: int, count: int) -> SourceList:
        return SourceList(*await self._matches.nearest(few, self._items.vector(item), count))

    def fallback(self, query: Query) -> SourceList:
        """The neighbours in the table; an empty list for a new item."""
        item = query.asked.item
        return self._items.from_table(item) if self._items.has_table(item) else NOTHING

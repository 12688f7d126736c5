"""Items closest to the user's vector, where Milvus searches the items: the user tower in Triton, then Milvus."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.milvus import MilvusItems
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among
from winnow.milvus.collection import expression
from winnow.ranking.context import NOTHING, SourceList


class RetrieverInMilvus:
    """Takes the place of the retriever, and its name, which the ranker's features and other sources refer to.

    Milvus leaves out items that are not available and those that the request filters, so the list is full although
    most of the catalog is filtered out. New items are not in Milvus, and changed ones as they were; those that pass the
    same filters are merged.

    Args:
        models: computes the user's vector.
        items: searches the items of the release.
        catalog: gives the new and changed items and their vectors.
        matches: scores the items that match a request's conditions, where they are few; Milvus is not asked then.
        k: length of the list.
        width: columns of the category in an item row.
        hides_history: whether the items of the history are left out, as the retriever's graph does.
    """

    name = "retriever"
    needs: tuple[str, ...] = ()

    def __init__(
        self,
        models: Models,
        items: MilvusItems,
        catalog: Catalog,
        matches: Matches,
        k: int,
        width: int,
        hides_history: bool,
    ) -> None:
        self._models = models
        self._items = items
        self._catalog = catalog
        self._matches = matches
        self._k = k
        self._width = width
        self._hides_history = hides_history

    def enabled(self, query: Query) -> bool:
        """For users with a history, which the user tower reads."""
        return query.user.has_history

    async def find(self, query: Query) -> SourceList:
        """The items with the highest product of user and item vector; also sets ``query.user.vector``."""
        [vector] = await self._models.user_vector(query.user.tensors)
        query.user.vector = vector
        hidden = np.unique(query.user.tensors["history_items"]) if self._hides_history else np.empty(0, np.int32)
        excluded = self._catalog.indices(query.request.filters.exclude_items)
        if (few := query.matching.few) is not None:
            passes = self._passes(query, self._catalog.rows.take(few), np.concatenate([excluded, hidden]))
            return SourceList(*await self._matches.nearest(few[passes], vector, self._k))
        codes = None if query.categories is None else query.categories.tolist()
        condition = expression(self._width, codes, excluded[excluded <= self._catalog.size].tolist())
        # Milvus returns as many more as may be dropped here: a condition on each item of the history would cost more.
        items, scores = await self._items.nearest(vector, self._k + len(hidden), condition)
        catalog = self._catalog
        if catalog.new_items:
            count = self._k + len(hidden)
            new_items, new_scores = catalog.nearest_new(
                vector, count, self._passes(query, catalog.rows.added, excluded)
            )
            items, scores = np.concatenate([items, new_items]), np.concatenate([scores, new_scores])
        if len(catalog.changed):
            # Milvus has neither their vectors nor their availability and category of now.
            stays = np.flatnonzero(~catalog.changed.contains(items))
            rows = catalog.rows.take(catalog.changed.items)
            back = catalog.nearest_changed(vector, self._k + len(hidden), self._passes(query, rows, excluded))
            items, scores = np.concatenate([items[stays], back[0]]), np.concatenate([scores[stays], back[1]])
        kept = np.flatnonzero(~np.isin(items, hidden))
        best = kept[np.argsort(-scores[kept], kind="stable")[: self._k]]
        return SourceList(items[best], scores[best])

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

    def _passes(self, query: Query, rows: NDArray[np.void], excluded: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of some rows the condition would let through."""
        passes: NDArray[np.bool_] = (rows["available"] != 0) & ~are_among(rows["index"], excluded)
        if query.categories is not None:
            passes &= np.isin(rows["categorical"][:, : self._width], query.categories).any(axis=1)
        return passes

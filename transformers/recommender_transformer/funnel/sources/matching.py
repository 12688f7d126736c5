"""The most popular of the few items that match the request's conditions."""

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList

_COUNT = 200
_NEW = 50
"""Those among them that are newer than the release: the latest added, which have no popularity."""


class Matching:
    """Matching items for whom no vector is known, and beside those that are close to the vector.

    Retriever and content source choose among the matching items themselves.

    Args:
        catalog: tells which items are new.
    """

    name = "matching"
    needs: tuple[str, ...] = ()

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """For requests whose conditions few items fulfil."""
        return query.matching.narrow

    def find(self, query: Query) -> SourceList:
        """The most popular matching items, then the newest."""
        items = query.matching.items
        if items is None:
            return NOTHING
        tail = items[_COUNT:]
        return SourceList.by_rank(np.concatenate([items[:_COUNT], tail[tail > self._catalog.size][-_NEW:]]))

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

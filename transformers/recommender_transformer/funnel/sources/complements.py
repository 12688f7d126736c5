"""Complements of an item: what users interacted with close to it."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Complements:
    """The item's row of the release's co-visitation table. A new item has none yet.

    Args:
        neighbours: int32 [n + 1, m], the neighbours of each item, best first, padded with 0.
        weights: float32 [n + 1, m], their weights.
    """

    name = "complements"
    needs: tuple[str, ...] = ()

    def __init__(self, neighbours: NDArray[np.int32], weights: NDArray[np.float32]) -> None:
        self._neighbours = neighbours
        self._weights = weights

    def enabled(self, query: Query) -> bool:
        """For requests with ``like``."""
        return query.asked.item > 0

    def find(self, query: Query) -> SourceList:
        """The neighbours, strongest first."""
        item = query.asked.item
        if item >= len(self._neighbours):
            return NOTHING
        items, weights = self._neighbours[item], self._weights[item]
        # Distinct: a table may name a neighbour once only, but its padding is repeated.
        _, first = np.unique(items, return_index=True)
        kept = first[(items[first] > 0) & (weights[first] > 0)]
        order = kept[np.argsort(-weights[kept], kind="stable")]
        return SourceList(items[order], weights[order])

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

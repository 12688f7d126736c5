"""Items that others met close to the user's recent ones."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList
from winnow.retrieval.covisitation import covisitation_scores


class Covisitation:
    """The release's item-to-item table, read in this process: a few microseconds per item of the history."""

    name = "covisitation"
    needs: tuple[str, ...] = ()

    def __init__(self, neighbours: NDArray[np.int32], weights: NDArray[np.float32], k: int) -> None:
        self._neighbours = neighbours
        self._weights = weights
        self._k = k

    def enabled(self, query: Query) -> bool:
        """Only a history has neighbours."""
        return query.has_history

    async def find(self, query: Query) -> SourceList:
        """The best neighbours of the history, newest events counting most."""
        history = query.state.history.items
        # Requests to other processes leave first, so that theirs and this work happen at the same time.
        await asyncio.sleep(0)
        return SourceList(*covisitation_scores(self._neighbours, self._weights, history[::-1], self._k))

    def fallback(self, query: Query) -> SourceList:
        """Nothing; the other sources carry on."""
        return NOTHING

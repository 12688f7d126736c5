"""Items that other users interacted with close to the user's recent items, as far as the user likes those."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList
from winnow.retrieval.covisitation import covisitation_scores
from winnow.retrieval.item_values import worth_following


class Covisitation:
    """Looks up the release's item-to-item table in this process: a few microseconds per item of the history.

    Args:
        neighbours: int32 [n + 1, m], the neighbours of each item.
        weights: float32 [n + 1, m], their weights.
        k: length of the list.
    """

    name = "covisitation"
    needs: tuple[str, ...] = ()

    def __init__(self, neighbours: NDArray[np.int32], weights: NDArray[np.float32], k: int) -> None:
        self._neighbours = neighbours
        self._weights = weights
        self._k = k

    def enabled(self, query: Query) -> bool:
        """For users with a history."""
        return query.user.has_history

    def find(self, query: Query) -> SourceList:
        """The neighbours with the highest weight over the history; newer events count more, disliked items nothing."""
        state = query.user.state
        items = state.events.items[worth_following(state.values)]
        history = items[items < len(self._neighbours)]
        return SourceList(*covisitation_scores(self._neighbours, self._weights, history[::-1], self._k))

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

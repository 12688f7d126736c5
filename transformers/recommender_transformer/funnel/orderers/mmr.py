"""Diversity: maximal marginal relevance over the item vectors of the catalog."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.growing import GrowingArray
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.caps import Quotas
from winnow.ranking.mmr import TRADE_OFF, mmr

_POOL = 4
"""Candidates considered per item of the answer."""


class Mmr:
    """Chooses items one by one, each for its score and for its dissimilarity to those chosen before.

    A query by content is a search: the scores alone order its items, unless the request has ``diversity``.

    Where the query has caps, an item for which there is no room is passed over; beyond the best ``4 k`` candidates the
    scores decide.

    Args:
        item_vectors: the vectors of the catalog, float32 [..., D].
    """

    name = "mmr"

    def __init__(self, item_vectors: GrowingArray[np.float32]) -> None:
        self._vectors = item_vectors

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen candidates; the request's ``diversity`` is the weight of dissimilarity."""
        if query.rules is not None and query.rules.quotas is not None:
            return self._capped(query, candidates, query.rules.quotas)
        pool = slice(0, _POOL * query.slots)
        return self._chosen(query, candidates.items[pool], candidates.score[pool])

    def _chosen(
        self,
        query: Query,
        items: NDArray[np.int32],
        scores: NDArray[np.float32],
        closes: Callable[[int], list[int]] | None = None,
    ) -> NDArray[np.intp]:
        diversity = query.request.diversity
        default = TRADE_OFF if query.request.query is None else 1.0
        trade_off = default if diversity is None else 1.0 - diversity
        return mmr(scores, self._vectors.take(items), query.slots, trade_off, closes)

    def _capped(self, query: Query, candidates: Candidates, quotas: Quotas) -> NDArray[np.intp]:
        items = candidates.items
        best = items[: _POOL * query.slots].tolist()
        pool = np.array([place for place, item in enumerate(best) if quotas.has_room(item)], np.intp)
        members = quotas.members(items[pool])

        def closes(position: int) -> list[int]:
            filled = quotas.take(int(items[pool[position]]))
            return [member for group in filled for member in members[group]]

        chosen = pool[self._chosen(query, items[pool], candidates.score[pool], closes)]
        if len(chosen) == query.slots:
            return chosen
        others = np.delete(np.arange(len(items)), chosen)
        return np.concatenate([chosen, others[quotas.fit(items[others], query.slots - len(chosen))]])

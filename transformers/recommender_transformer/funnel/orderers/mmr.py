"""Diversity: maximal marginal relevance over the item vectors of the catalog."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.growing import GrowingArray
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.mmr import TRADE_OFF, mmr

_POOL = 4
"""Candidates considered per item of the answer."""


class Mmr:
    """Chooses ``k`` items one by one, each for its score and for its dissimilarity to those chosen before.

    Args:
        item_vectors: the vectors of the catalog, float32 [..., D].
    """

    name = "mmr"

    def __init__(self, item_vectors: GrowingArray[np.float32]) -> None:
        self._vectors = item_vectors

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the chosen ``k``; the request's ``diversity`` is the weight of dissimilarity."""
        diversity = query.request.diversity
        trade_off = TRADE_OFF if diversity is None else 1.0 - diversity
        pool = slice(0, _POOL * query.request.k)
        vectors = self._vectors.take(candidates.items[pool])
        return mmr(candidates.score[pool], vectors, query.request.k, trade_off)

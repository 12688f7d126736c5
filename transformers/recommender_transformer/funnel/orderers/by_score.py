"""The order of the scores, for requests that state an order of their own."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Orderer


class ByScore:
    """Keeps the order of the scores unless the request asks for diversity.

    Args:
        diverse: orders the candidates of requests with ``diversity``.
    """

    name = "by_score"

    def __init__(self, diverse: Orderer) -> None:
        self._diverse = diverse

    def order(self, query: Query, candidates: Candidates) -> NDArray[np.intp]:
        """Positions of the candidates, which are in descending order of score."""
        if query.request.diversity is not None:
            return self._diverse.order(query, candidates)
        return np.arange(len(candidates))

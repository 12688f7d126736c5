"""The order in which the sources named the candidates: the retriever's first, for a stranger what is trending."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query


def source_order_scores(candidates: Candidates) -> NDArray[np.float32]:
    """A score that falls from candidate to candidate: float32 [n]."""
    return np.arange(0, -len(candidates), -1, dtype=np.float32)


class SourceOrder:
    """The scorer of a release whose log was too small to learn a ranker from; see ``unranked`` in its manifest."""

    name = "sources"

    def enabled(self, query: Query) -> bool:
        """Always: the content scorer joins its own opinion with this order, as with the ranker's."""
        return True

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Set the score; probabilities stay unknown."""
        candidates.score = source_order_scores(candidates)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The same: there is nothing that could be late."""
        candidates.score = source_order_scores(candidates)

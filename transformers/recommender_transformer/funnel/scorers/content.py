"""How well the candidates match what is looked for, joined with what the ranker thinks of them."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.scorers.source_order import source_order_scores

WEIGHT = 0.5
"""Share of the content in the score where the ranker knows the user too."""


class ContentScorer:
    """Half what the user likes, half what was looked for; all of it what was looked for, where no user is known.

    Both opinions are standardised over the candidates of the request (mean 0, deviation 1), so that their shares mean
    what they say whatever the ranker's scale. With content alone the score is the cosine itself.

    Args:
        catalog: whose vectors are compared.
    """

    name = "content_score"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """Where something is looked for and the encoders have answered."""
        return query.content_vector is not None

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Set the score from the cosine, and from the ranker's score where it counts."""
        assert query.content_vector is not None
        cosine: NDArray[np.float32] = self._catalog.vectors.take(candidates.items, 0) @ query.content_vector
        if not query.has_history:
            candidates.score = cosine
            return
        blended = (1.0 - WEIGHT) * _standardised(candidates.score) + WEIGHT * _standardised(cosine)
        candidates.score = blended.astype(np.float32)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The score stays as the ranker left it; where it was not asked, the order of the sources stands."""
        if not query.has_history:
            candidates.score = source_order_scores(candidates)


def _standardised(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    if not len(scores):
        return scores.astype(np.float64)
    deviation = max(float(scores.std(dtype=np.float64)), 1e-9)
    return (scores.astype(np.float64) - float(scores.mean(dtype=np.float64))) / deviation

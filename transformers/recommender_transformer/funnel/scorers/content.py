"""Scores candidates by their similarity to the query's content, combined with the ranker's score."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.scorers.source_order import source_order_scores

WEIGHT = 0.5
"""Weight of the content for users with a history; the ranker's score has the rest."""


class ContentScorer:
    """The cosine of item vector and content vector; for users with a history, its weighted sum with the ranker's score.

    Args:
        catalog: gives the item vectors.
    """

    name = "content_score"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """If a source has set the vector of the content or the item that the request names."""
        return query.sources.content_vector is not None

    def score(self, query: Query, candidates: Candidates) -> None:
        """Set the score; reads the ranker's for users with a history."""
        vector = query.sources.content_vector
        assert vector is not None
        cosine: NDArray[np.float32] = self._catalog.vectors.take(candidates.items) @ vector
        if not query.user.has_history:
            candidates.score = cosine
            return
        candidates.score = blended(candidates.score, cosine)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The ranker's score; the order of the sources if the ranker was not enabled."""
        if not query.user.has_history:
            candidates.score = source_order_scores(candidates)


def blended(ranked: NDArray[np.float32], relevance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted sum of the ranker's score and of the relevance to what the request names.

    Before they are summed, both scores are standardised over the candidates of the request (mean 0, deviation 1), so
    that the weight does not depend on the scale of the ranker's scores.
    """
    both = (1.0 - WEIGHT) * _standardised(ranked) + WEIGHT * _standardised(relevance)
    return both.astype(np.float32)


def _standardised(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    if not len(scores):
        return scores.astype(np.float64)
    deviation = max(float(scores.std(dtype=np.float64)), 1e-9)
    return (scores.astype(np.float64) - float(scores.mean(dtype=np.float64))) / deviation

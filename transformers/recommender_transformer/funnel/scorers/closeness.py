"""Scores the complements of an item by how often they go with it, combined with the ranker's score."""

import numpy as np

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.scorers.content import blended
from recommender_transformer.funnel.sources.complements import Complements


class Closeness:
    """The logarithm of the co-visitation weight; for users with a history, its weighted sum with the ranker's score.

    Items of the backfill, which are no complements, come last.
    """

    name = "closeness"

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def score(self, query: Query, candidates: Candidates) -> None:
        """Set the score; reads the ranker's for users with a history."""
        weights = candidates.scores[:, query.sources.columns.index(Complements.name)]
        complements = ~np.isnan(weights)
        scores = np.empty(len(candidates), np.float32)
        closeness = np.log(np.maximum(weights[complements], 1e-9)).astype(np.float32)
        own = candidates.score[complements]
        scores[complements] = blended(own, closeness) if query.user.has_history else closeness
        last = scores[complements].min(initial=0.0) - 1.0
        scores[~complements] = last - np.arange(np.count_nonzero(~complements), dtype=np.float32)
        candidates.score = scores

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The ranker's score; the scorer needs no I/O and does not fail."""

"""Scores candidates by what showing them is worth: the ranker's probabilities times the weights in force."""

import numpy as np

from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from winnow.ranking.objectives import CLICK, value_scores, values


class Value:
    """Replaces the ranker's score, the logarithm of the click's probability, by the logarithm of the value."""

    name = "value"

    def enabled(self, query: Query) -> bool:
        """Where the ranker is called."""
        return query.reads_ranker

    def score(self, query: Query, candidates: Candidates) -> None:
        """Set value and score; the ranker's fallback leaves no probabilities, and its score stays."""
        if not len(candidates) or np.isnan(candidates.probabilities[0, CLICK]):
            return
        candidates.value = values(candidates.probabilities, query.weights)
        candidates.score = value_scores(candidates.probabilities, query.weights)

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The ranker's score."""

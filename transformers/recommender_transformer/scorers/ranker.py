"""The ranker: how likely is a click, how likely a conversion, and what to order by."""

import numpy as np

from recommender_transformer.candidates import Candidates
from recommender_transformer.models import Models
from recommender_transformer.query import Query
from winnow.ranking.context import context_features

_BUCKET = 128
"""Candidates are padded to a multiple of this: coarse enough for equal shapes to meet, fine enough to waste little."""


class Ranker:
    """Asks the ranker in Triton for all candidates at once."""

    name = "ranker"

    def __init__(self, models: Models) -> None:
        self._models = models

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Set probabilities and score.

        The candidates are padded, so that Triton's dynamic batcher finds requests of equal shape to join; padding is
        item 0, whose score the model puts out of the race, and is cut off here.
        """
        count = len(candidates)
        if not count:
            return
        size = bucket(count)
        context = context_features(candidates.items, query.found, len(query.state.history.items))
        numeric = candidates.rows["numeric"]
        items = np.zeros((1, size), dtype=np.int32)
        items[0, :count] = candidates.items
        categorical = np.zeros((1, size, candidates.rows["categorical"].shape[1]), dtype=np.int32)
        categorical[0, :count] = candidates.rows["categorical"]
        numbers = np.zeros((1, size, numeric.shape[1] + context.shape[1]), dtype=np.float32)
        numbers[0, :count, : numeric.shape[1]] = numeric
        numbers[0, :count, numeric.shape[1] :] = context
        ranked = await self._models.rank(
            {
                **query.user,
                "candidate_items": items,
                "candidate_categorical": categorical,
                "candidate_numeric": numbers,
            }
        )
        candidates.probabilities = ranked.probabilities[0, :count]
        candidates.score = ranked.scores[0, :count]

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """Keep the order in which the sources named the candidates: the retriever's first."""
        candidates.score = -np.arange(len(candidates), dtype=np.float32)


def bucket(count: int) -> int:
    """The next multiple of the bucket."""
    return -(-count // _BUCKET) * _BUCKET

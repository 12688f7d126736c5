"""The ranker: how likely is a click, how likely a conversion, and what to order by."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.models import Models
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.scorers.source_order import source_order_scores
from winnow.ranking.context import context_features

_BUCKET = 128
"""Candidates are padded to a multiple of this: coarse enough for equal shapes to meet, fine enough to waste little."""


_FRESH_BUCKET = 64
"""The same for the fresh items among them."""


class Ranker:
    """Asks the ranker in Triton for all candidates at once.

    Its graph holds the vectors of the release's items; those of fresh ones travel with the request.
    """

    name = "ranker"

    def __init__(self, models: Models, catalog: Catalog) -> None:
        self._models = models
        self._catalog = catalog
        self._no_fresh = np.zeros((1, 1, catalog.vectors.shape[1]), np.float32)

    def enabled(self, query: Query) -> bool:
        """Unless something is looked for by somebody of whom it knows nothing."""
        return query.content_vector is None or query.has_history

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
        items[0, :count], fresh_vectors = self._with_fresh(candidates.items)
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
                "fresh_vectors": fresh_vectors,
            }
        )
        candidates.probabilities = ranked.probabilities[0, :count]
        candidates.score = ranked.scores[0, :count]

    def _with_fresh(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Candidates as the graph numbers them (``n + 1 + f`` is row ``f``), and the vectors of the fresh ones."""
        positions = np.flatnonzero(items > self._catalog.size)
        if not len(positions):
            return items, self._no_fresh
        vectors = np.zeros((1, bucket(len(positions), _FRESH_BUCKET), self._no_fresh.shape[2]), np.float32)
        vectors[0, : len(positions)] = self._catalog.vectors[items[positions]]
        numbered = items.copy()
        numbered[positions] = self._catalog.size + 1 + np.arange(len(positions), dtype=np.int32)
        return numbered, vectors

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """Keep the order in which the sources named the candidates: the retriever's first."""
        candidates.score = source_order_scores(candidates)


def bucket(count: int, size: int = _BUCKET) -> int:
    """The next multiple of the bucket."""
    return -(-count // size) * size

"""Scores candidates with the ranker in Triton: the probabilities of a click, each event type and a conversion."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.funnel.candidates import Candidates
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.scorers.source_order import source_order_scores
from winnow.ranking.context import SOURCES, UserPast, placed_features
from winnow.ranking.objectives import CLICK

_BUCKET = 32
"""Candidates are padded to a multiple of this: coarse enough for calls of several transformers to share a shape, and
fine enough to waste little work: the ranker's time is in proportion to the candidates."""

_NEW_ITEM_BUCKET = 64
"""The same for the new items among the candidates."""

_ABSENT = np.empty(0, np.int32)
"""The places in the list of a source that was not enabled, which are not read."""

_LEAST = np.float32(1e-30)
"""Bound below which a probability's logarithm does not fall further."""


class Ranker:
    """Sends all candidates of a request to the ranker in one call.

    The ranker's graph contains the vectors of the release's items; those of new items are sent with the request.

    Args:
        models: calls the ranker.
        catalog: gives the vectors of new items.
        reads_repeats: whether the ranker was trained on lists with seen items, which it is for a release that allows
            repeats. Otherwise it gets the features of unseen items for all: others would be unlike any in training.
    """

    name = "ranker"

    def __init__(self, models: Models, catalog: Catalog, reads_repeats: bool) -> None:
        self._reads_repeats = reads_repeats
        self._models = models
        self._catalog = catalog
        self._no_new_vectors = np.zeros((1, 1, catalog.dimension), np.float32)

    def enabled(self, query: Query) -> bool:
        """Unless a later scorer ignores its score: for a query or an item, where there is no history."""
        return query.reads_ranker

    async def score(self, query: Query, candidates: Candidates) -> None:
        """Set the probabilities, and the score to the logarithm of the click's.

        Candidates are padded with item 0 so that Triton's dynamic batcher can join requests of equal shape. The model
        masks the padding, which is cut off here.
        """
        count = len(candidates)
        if not count:
            return
        size = bucket(count)
        history, lists, seen = query.user.state.history, query.sources.lists, candidates.seen
        if not self._reads_repeats:
            lists, seen = {name: found for name, found in lists.items() if name != "history"}, np.zeros_like(seen)
        columns = query.sources.columns
        places = [candidates.places[:, columns.index(name)] if name in lists else _ABSENT for name in SOURCES]
        past = UserPast(history.items, history.timestamps, seen)
        context = placed_features(candidates.items, places, lists, past)
        numeric = candidates.rows["numeric"]
        items = np.zeros((1, size), dtype=np.int32)
        items[0, :count], new_vectors = self._with_new_items(candidates.items)
        categorical = np.zeros((1, size, candidates.rows["categorical"].shape[1]), dtype=np.int32)
        categorical[0, :count] = candidates.rows["categorical"]
        numbers = np.zeros((1, size, numeric.shape[1] + context.shape[1]), dtype=np.float32)
        numbers[0, :count, : numeric.shape[1]] = numeric
        numbers[0, :count, numeric.shape[1] :] = context
        ranked = await self._models.rank(
            {
                **query.user.tensors,
                "candidate_items": items,
                "candidate_categorical": categorical,
                "candidate_numeric": numbers,
                "fresh_vectors": new_vectors,
            }
        )
        candidates.probabilities = ranked.probabilities[0, :count]
        candidates.score = np.log(np.maximum(candidates.probabilities[:, CLICK], _LEAST))

    def _with_new_items(self, items: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The candidates as the graph numbers them (``n + 1 + f`` is row ``f``), and the vectors of the new items."""
        positions = np.flatnonzero(items > self._catalog.size)
        if not len(positions):
            return items, self._no_new_vectors
        vectors = np.zeros((1, bucket(len(positions), _NEW_ITEM_BUCKET), self._no_new_vectors.shape[2]), np.float32)
        vectors[0, : len(positions)] = self._catalog.vectors.take(items[positions])
        numbered = items.copy()
        numbered[positions] = self._catalog.size + 1 + np.arange(len(positions), dtype=np.int32)
        return numbered, vectors

    def fallback(self, query: Query, candidates: Candidates) -> None:
        """The order of the sources: those of the first source come first."""
        candidates.score = source_order_scores(candidates)


def bucket(count: int, size: int = _BUCKET) -> int:
    """``count``, rounded up to a multiple of ``size``."""
    return -(-count // size) * size

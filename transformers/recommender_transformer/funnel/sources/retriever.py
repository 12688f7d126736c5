"""Items closest to the user's vector: the two-tower model, with an index of the release's items, in Triton."""

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from winnow.arrays.membership import are_among
from winnow.ranking.context import NOTHING, SourceList, without_hidden


class Retriever:
    """Calls the retriever and corrects its list by the items that were added or changed since the release was built.

    The index in Triton contains the release's items with the vectors of the build. The score of a new or changed item
    is the same product of user and item vector, as if the index contained it.

    Args:
        models: calls the retriever.
        catalog: gives the new and changed items and their vectors.
        matches: scores the items that match a request's conditions, where they are few: then the list has the best of
            these, with the same products.
        hides_history: whether the graph leaves out the items of the history.
    """

    name = "retriever"
    needs: tuple[str, ...] = ()

    def __init__(self, models: Models, catalog: Catalog, matches: Matches, hides_history: bool) -> None:
        self._models = models
        self._catalog = catalog
        self._matches = matches
        self._hides_history = hides_history

    def enabled(self, query: Query) -> bool:
        """For users with a history, which the user tower reads."""
        return query.user.has_history

    async def find(self, query: Query) -> SourceList:
        """The items with the highest product of user and item vector; also sets ``query.user.vector``."""
        items, scores, vectors = await self._models.retrieve(query.user.tensors)
        query.user.vector = vectors[0]
        if (few := query.matching.few) is not None:
            return SourceList(*await self._matches.nearest(few, vectors[0], len(items[0])))
        found = SourceList(items[0], scores[0])
        if self._catalog.changes:
            found = SourceList(*self._catalog.corrected(*found, vectors[0]))
            if self._hides_history and len(self._catalog.changed):
                # The graph hides the history; a changed item of it must not come back by its vector of now.
                shown = np.flatnonzero(~are_among(found.items, query.user.tensors["history_items"][0]))
                found = SourceList(found.items.take(shown), found.scores.take(shown))
        return without_hidden(found)

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

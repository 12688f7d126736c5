"""Items closest to the user's vector: the two-tower model, with an index of the release's items, in Triton."""

from recommender_transformer.backends.catalog import Catalog, merged
from recommender_transformer.backends.predictor.models import Models
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList, without_hidden


class Retriever:
    """Calls the retriever and merges new items into its list.

    The index in Triton contains the release's items only. The score of a new item is the same product of user and item
    vector, so the merged list is exact, as if the index contained the new items.

    Args:
        models: calls the retriever.
        catalog: gives the new items and their vectors.
        matches: scores the items that match a request's conditions, where they are few: then the list has the best of
            these, with the same products.
    """

    name = "retriever"
    needs: tuple[str, ...] = ()

    def __init__(self, models: Models, catalog: Catalog, matches: Matches) -> None:
        self._models = models
        self._catalog = catalog
        self._matches = matches

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
        if self._catalog.new_items:
            found = SourceList(*merged(*found, *self._catalog.nearest_new(vectors[0], len(found.items))))
        return without_hidden(found)

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

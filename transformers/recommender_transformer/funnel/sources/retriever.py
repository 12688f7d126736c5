"""Items near the user's tower in the release's index, and among the fresh ones."""

from recommender_transformer.backends.catalog import Catalog, merged
from recommender_transformer.backends.models import Models
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Retriever:
    """The two-tower model, in Triton. It says nothing of a user without history: its tower has nothing to read.

    Triton's index ends with the release. A fresh item's score is the same product of user and item vector, so the two
    lists merge exactly, as if the index had held all.
    """

    name = "retriever"
    needs: tuple[str, ...] = ()

    def __init__(self, models: Models, catalog: Catalog) -> None:
        self._models = models
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """Only a history can be read."""
        return query.has_history

    async def find(self, query: Query) -> SourceList:
        """The retriever's candidates, best first."""
        items, scores, vectors = await self._models.retrieve(query.user)
        query.user_vector = vectors[0]
        fresh = self._catalog.new_items
        if not len(fresh):
            return SourceList(items[0], scores[0])
        return SourceList(*merged(items[0], scores[0], fresh, self._catalog.vectors[fresh] @ vectors[0]))

    def fallback(self, query: Query) -> SourceList:
        """Nothing; the other sources carry on."""
        return NOTHING

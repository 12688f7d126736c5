"""Items near the user's tower in the release's index."""

from recommender_transformer.models import Models
from recommender_transformer.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Retriever:
    """The two-tower model, in Triton. It says nothing of a user without history: its tower has nothing to read."""

    name = "retriever"

    def __init__(self, models: Models) -> None:
        self._models = models

    async def find(self, query: Query) -> SourceList:
        """The retriever's candidates, best first."""
        if not len(query.state.history.items):
            return NOTHING
        items, scores = await self._models.retrieve(query.user)
        return SourceList(items[0], scores[0])

    def fallback(self, query: Query) -> SourceList:
        """Nothing; the other sources carry on."""
        return NOTHING

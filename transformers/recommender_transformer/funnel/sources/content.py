"""Items like what is looked for: a text, a picture, a sound, or several that mean one thing."""

from recommender_transformer.backends.catalog import Catalog, merged
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Content:
    """The query as an item of which little is known: its place among the items, and what lies near."""

    name = "content"
    needs: tuple[str, ...] = ()

    def __init__(self, placing: ContentLookup, catalog: Catalog) -> None:
        self._placing = placing
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """Only where something is looked for."""
        return len(query.content) > 0

    async def find(self, query: Query) -> SourceList:
        """The items with the highest cosine, fresh ones among them."""
        placed = await self._placing.place(query.content)
        vector, items, scores = placed.item_vector[0], placed.candidates[0], placed.scores[0]
        query.content_vector = vector
        fresh = self._catalog.new_items
        if not len(fresh):
            return SourceList(items, scores)
        return SourceList(*merged(items, scores, fresh, self._catalog.vectors[fresh] @ vector))

    def fallback(self, query: Query) -> SourceList:
        """Nothing; the other sources carry on."""
        return NOTHING

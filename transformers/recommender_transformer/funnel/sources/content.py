"""Items similar to the query's content: a text, an image, a sound, or several that describe one thing."""

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.content.lookup import ContentLookup
from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Content:
    """Embeds the content as an item without features, and finds the items with the most similar vectors.

    Args:
        lookup: embeds the content and searches the items of the release.
        catalog: gives the new and changed items and their vectors.
        matches: scores the items that match a request's conditions, where they are few.
    """

    name = "content"
    needs: tuple[str, ...] = ()

    def __init__(self, lookup: ContentLookup, catalog: Catalog, matches: Matches) -> None:
        self._lookup = lookup
        self._catalog = catalog
        self._matches = matches

    def enabled(self, query: Query) -> bool:
        """For requests with a query."""
        return len(query.content) > 0

    async def find(self, query: Query) -> SourceList:
        """The items with the highest cosine, new and changed items included."""
        similar = await self._lookup.find(query.content)
        vector, items, scores = similar.item_vector[0], similar.candidates[0], similar.scores[0]
        query.sources.content_vector = vector
        if (few := query.matching.few) is not None:
            return SourceList(*await self._matches.nearest(few, vector, len(items)))
        return SourceList(*self._catalog.corrected(items, scores, vector))

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

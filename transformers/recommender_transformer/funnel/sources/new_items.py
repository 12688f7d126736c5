"""Items that were added after the release was built, which other sources may never find: few users have seen them."""

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList
from winnow.signatures import NEW_ITEM_CANDIDATES


class NewItems:
    """The new items closest to the user's vector; the newest for users without one.

    Args:
        catalog: gives the new items and their vectors.
    """

    name = "new_items"
    needs: tuple[str, ...] = ("retriever",)

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """If there are new items; not for requests for nobody, which ask for content only."""
        return self._catalog.new_items > 0 and query.has_person

    def find(self, query: Query) -> SourceList:
        """The new items with the highest product of the retriever's user vector and item vector."""
        assert query.user.vector is not None
        return SourceList(*self._catalog.nearest_new(query.user.vector, NEW_ITEM_CANDIDATES))

    def fallback(self, query: Query) -> SourceList:
        """The newest."""
        newest = self._catalog.newest(NEW_ITEM_CANDIDATES)
        return SourceList.by_rank(newest)

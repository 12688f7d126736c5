"""Items that came after the release was made: nobody has met them, so no other source is sure to name them."""

import numpy as np

from recommender_transformer.backends.catalog import Catalog
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList

_NAMED = 50


class Fresh:
    """The fresh items that suit the user best; the newest for a stranger."""

    name = "fresh"
    needs: tuple[str, ...] = ("retriever",)

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def enabled(self, query: Query) -> bool:
        """Where there are fresh items; to nobody in particular only what is looked for is shown."""
        return len(self._catalog.new_items) > 0 and query.request.user_id is not None

    async def find(self, query: Query) -> SourceList:
        """Those with the highest product of the user's vector, which the retriever has told, and their own."""
        assert query.user_vector is not None
        fresh = self._catalog.new_items
        scores = self._catalog.vectors[fresh] @ query.user_vector
        best = np.argsort(-scores, kind="stable")[:_NAMED]
        return SourceList(fresh[best], scores[best])

    def fallback(self, query: Query) -> SourceList:
        """The newest."""
        newest = self._catalog.new_items[:_NAMED]
        return SourceList(newest, 1.0 / np.arange(1, len(newest) + 1, dtype=np.float32))

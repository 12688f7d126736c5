"""The pinned items of a query: candidates like others, so that they are hydrated, filtered and scored."""

import numpy as np

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class PinnedItems:
    """The pins of the rules and of the request, by position."""

    name = "pinned"
    needs: tuple[str, ...] = ()

    def enabled(self, query: Query) -> bool:
        """Where there are pins of items of the catalog within the list."""
        return query.rules is not None and bool(query.rules.pins)

    def find(self, query: Query) -> SourceList:
        """The pinned items; their scores are their positions, negated."""
        assert query.rules is not None
        k = query.request.k
        pins = sorted((position, item) for item, position in query.rules.pins.items() if position < k)
        positions = np.array([position for position, _ in pins], np.float32)
        return SourceList(np.array([item for _, item in pins], np.int32), -positions)

    def fallback(self, query: Query) -> SourceList:
        """None; the rest of the list moves up."""
        return NOTHING

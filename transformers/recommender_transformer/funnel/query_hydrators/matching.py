"""Finds the items that match the request's conditions."""

from recommender_transformer.funnel.matching.matches import Matches
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.stages import Result

_ENOUGH = 8
"""Expected matching candidates per item of the answer from which on sources need not know the conditions."""


class MatchingHydrator:
    """Looks the matching items up, or computes them in a thread if the filter is new.

    Where a source that does not know the conditions would name less than ``_ENOUGH`` times ``k`` matching items,
    retriever and content source choose among the matching ones. Otherwise what they find is filtered.

    Args:
        matches: finds the items.
        size: number of items of the release.
        retrieved: length of the retriever's list.
    """

    name = "matching_items"

    def __init__(self, matches: Matches, size: int, retrieved: int) -> None:
        self._matches = matches
        self._share = retrieved / max(size, 1)

    def enabled(self, query: Query) -> bool:
        """For requests with conditions."""
        return query.wanted is not None

    def hydrate(self, query: Query) -> Result[None]:
        """Set ``query.matching``."""
        assert query.wanted is not None
        matching = query.matching
        matching.items = self._matches.held(query.wanted.condition)
        if matching.items is None:
            return self._find(query)
        self._decide(query)
        return None

    def fallback(self, query: Query) -> None:
        """The items remain unknown: what sources and backfill find is filtered."""

    async def _find(self, query: Query) -> None:
        assert query.wanted is not None
        query.matching.items = await self._matches.find(query.wanted.condition)
        self._decide(query)

    def _decide(self, query: Query) -> None:
        assert query.matching.items is not None
        query.matching.narrow = len(query.matching.items) * self._share < _ENOUGH * query.request.k

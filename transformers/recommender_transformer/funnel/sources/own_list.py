"""The caller's own list."""

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import SourceList


class OwnList:
    """The items of ``rank``.

    The last of its funnel's sources: where the ranker is away, the order of the sources decides, and then that of the
    caller.
    """

    name = "rank"
    needs: tuple[str, ...] = ()

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def find(self, query: Query) -> SourceList:
        """The known items, in the caller's order."""
        return SourceList.by_rank(query.asked.own)

    def fallback(self, query: Query) -> SourceList:
        """The same; it needs no I/O."""
        return SourceList.by_rank(query.asked.own)

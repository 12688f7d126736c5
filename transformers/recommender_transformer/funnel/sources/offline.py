"""The user's list that was computed beforehand (`winnow lists`)."""

from recommender_transformer.backends.followed.offline_lists import OfflineLists
from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList


class Offline:
    """The recommendations that the whole funnel made for the user some hours ago.

    They are candidates like any other. When retriever and ranker are away, they are the best that is left.

    Args:
        lists: reads the list.
    """

    name = "offline"
    needs: tuple[str, ...] = ()

    def __init__(self, lists: OfflineLists) -> None:
        self._lists = lists

    def enabled(self, query: Query) -> bool:
        """For requests for a user, if the release has lists."""
        return self._lists.exist and query.request.user_id is not None

    async def find(self, query: Query) -> SourceList:
        """The list, by rank; empty for a user without one."""
        assert query.request.user_id is not None
        return SourceList.by_rank(await self._lists.read(query.request.user_id))

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

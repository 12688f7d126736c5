"""The items of the user's own history, for answers that may repeat them."""

from recommender_transformer.funnel.query import Query
from winnow.ranking.context import NOTHING, SourceList
from winnow.retrieval.repeats import history_scores


class History:
    """What the user comes back to: items with many and recent events. Disliked items are left out."""

    name = "history"
    needs: tuple[str, ...] = ()

    def enabled(self, query: Query) -> bool:
        """For users with a history, unless seen items are hidden."""
        return query.repeats != "hide" and len(query.user.state.events.items) > 0

    def find(self, query: Query) -> SourceList:
        """The items of the history whose events have no negative value in sum."""
        state = query.user.state
        items = state.events.items[state.values >= 0][::-1]
        return SourceList(*history_scores(items, len(items)))

    def fallback(self, query: Query) -> SourceList:
        """An empty list."""
        return NOTHING

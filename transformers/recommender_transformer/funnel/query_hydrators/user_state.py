"""Who is asking: features, recent history and filters, in one round trip to Redis."""

import numpy as np
from prometheus_client import Counter

from recommender_transformer.backends.online_store import OnlineStore, UserState
from recommender_transformer.funnel.query import Query
from winnow.retrieval.history import assemble, user_tensors

_FILTER_OPEN = Counter(
    "winnow_filter_open_total",
    "Requests answered without a filter that a user has, because it could not be read.",
    ("filter", "reason"),
)
# There from the start: a counter that appears with its first fault has no rate for it.
for _name, _reason in (("seen", "not read"), ("seen", "unreadable"), ("unlikely", "unreadable")):
    _FILTER_OPEN.labels(_name, _reason)


class UserStateHydrator:
    """Reads the user and lays out the five history and user tensors that both models take."""

    name = "user_state"

    def __init__(self, store: OnlineStore, history_length: int) -> None:
        self._store = store
        self._length = history_length

    async def hydrate(self, query: Query) -> None:
        """Read the user; one without keys is a stranger, which is no fault, and so is nobody at all."""
        user_id = query.request.user_id
        state = self._store.cold_start_state if user_id is None else await self._store.user_state(user_id)
        for name in state.unreadable:
            _open(query, name, "unreadable")
        self._set(query, state)

    def fallback(self, query: Query) -> None:
        """Everybody is a stranger, whose filter holds nothing back."""
        _open(query, "seen", "not read")
        self._set(query, self._store.cold_start_state)

    def _set(self, query: Query, state: UserState) -> None:
        history = assemble(*state.history, self._length)
        query.state = state
        query.user = user_tensors(history, np.array([state.row]))


def _open(query: Query, name: str, reason: str) -> None:
    """A filter that is off is never silent."""
    _FILTER_OPEN.labels(name, reason).inc()
    query.trace.degraded.append(f"{name}: filter {reason}")

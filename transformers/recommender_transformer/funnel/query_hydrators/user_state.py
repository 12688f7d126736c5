"""Reads the user's features, recent history and filters, in one round trip to Redis, and decodes them if needed."""

import numpy as np
from prometheus_client import Counter

from recommender_transformer.backends.online_store import OnlineStore, UserState
from recommender_transformer.backends.session import Sessions
from recommender_transformer.backends.stored_user import NOT_STORED
from recommender_transformer.funnel.query import Query
from recommender_transformer.funnel.reuse.held_answers import HeldAnswers
from winnow.retrieval.history import assemble, user_tensors

_FILTER_OPEN = Counter(
    "winnow_filter_open_total",
    "Requests answered without one of the user's filters because it could not be read.",
    ("filter", "reason"),
)
# Export the counters at 0: a series that begins with its first failure has no rate for it.
for _name, _reason in (("seen", "not read"), ("seen", "unreadable"), ("unlikely", "unreadable")):
    _FILTER_OPEN.labels(_name, _reason)


class UserStateHydrator:
    """Reads the user's state and builds the five history and user tensors of the retriever and the ranker.

    Where an earlier answer is reused, the stages do not run, so what was read is not decoded.

    Args:
        store: reads the state.
        history_length: events in the tensors.
        held_answers: the answers that may be reused.
        sessions: add the events of a request's session.
    """

    name = "user_state"

    def __init__(self, store: OnlineStore, history_length: int, held_answers: HeldAnswers, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._length = history_length
        self._held_answers = held_answers

    async def hydrate(self, query: Query) -> None:
        """Read the state; requests without a user and users without keys in Redis get the cold-start state."""
        user_id = query.request.user_id
        stored = NOT_STORED if user_id is None else await self._store.read_user(user_id)
        if query.asked.session is not None:
            stored = self._sessions.applied(stored, query.asked.session)
        if await self._held_answers.reuse(query, stored):
            return
        state = self._store.decode_user(stored)
        for name in state.unreadable:
            _filter_open(query, name, "unreadable")
        self._set(query, state)

    def fallback(self, query: Query) -> None:
        """What the request's session says, or the cold-start state.

        Seen items can be shown then, which the answer reports as degraded.
        """
        _filter_open(query, "seen", "not read")
        events = query.asked.session
        stored = self._sessions.applied(NOT_STORED, events) if events else None
        self._set(query, self._store.decode_user(stored) if stored else self._store.cold_start_state)

    def _set(self, query: Query, state: UserState) -> None:
        history = assemble(*state.history, self._length)
        query.user.state = state
        query.user.tensors = user_tensors(history, np.array([state.row]))


def _filter_open(query: Query, name: str, reason: str) -> None:
    """Count and report a filter that removes nothing because it could not be read."""
    _FILTER_OPEN.labels(name, reason).inc()
    query.trace.degraded.append(f"{name}: filter {reason}")

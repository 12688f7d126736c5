"""Who is asking: features, recent history and filters, in one round trip to Redis."""

import numpy as np

from recommender_transformer.query import Query
from winnow.retrieval.history import assemble, user_tensors
from winnow.store.online import OnlineStore, UserState


class UserStateHydrator:
    """Reads the user and lays out the five history and user tensors that both models take."""

    name = "user_state"

    def __init__(self, store: OnlineStore, history_length: int) -> None:
        self._store = store
        self._length = history_length

    async def hydrate(self, query: Query) -> None:
        """Read the user; one without keys is a stranger, which is no fault, and so is nobody at all."""
        user_id = query.request.user_id
        self._set(query, self._store.stranger if user_id is None else await self._store.user_state(user_id))

    def fallback(self, query: Query) -> None:
        """Everybody is a stranger."""
        self._set(query, self._store.stranger)

    def _set(self, query: Query, state: UserState) -> None:
        history = assemble(*state.history, self._length)
        query.state = state
        query.user = user_tensors(history, np.array([state.row]))

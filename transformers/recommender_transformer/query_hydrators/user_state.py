"""Who is asking: features, recent history and seen filter, in one round trip to Redis."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.query import Query
from winnow.retrieval.history import assemble
from winnow.store.online import OnlineStore, UserState


class UserStateHydrator:
    """Reads the user and lays out the five history and user tensors that both models take."""

    name = "user_state"

    def __init__(self, store: OnlineStore, history_length: int) -> None:
        self._store = store
        self._length = history_length

    async def hydrate(self, query: Query) -> None:
        """Read the user; one without keys is a stranger, which is no fault."""
        self._set(query, await self._store.user_state(query.request.user_id))

    def fallback(self, query: Query) -> None:
        """Everybody is a stranger."""
        self._set(query, self._store.stranger)

    def _set(self, query: Query, state: UserState) -> None:
        history = assemble(*state.history, self._length)
        query.state = state
        query.user = {
            "history_items": history.items,
            "history_events": history.events,
            "history_gaps": history.gaps,
            "user_categorical": _one(state.row["categorical"], np.int32),
            "user_numeric": _one(state.row["numeric"], np.float32),
        }


def _one(values: NDArray[np.generic], dtype: type[np.generic]) -> NDArray[np.generic]:
    """A batch of one; a schema without such features sends one zero, because no tensor is without width on the wire."""
    return values.astype(dtype).reshape(1, -1) if values.size else np.zeros((1, 1), dtype=dtype)

"""A user's past, as far as reasons name it."""

import numpy as np
from numpy.typing import NDArray

from recommender_transformer.backends.online_store import UserState
from winnow.retrieval.item_values import worth_following


class Past:
    """The items that a user took, by the events of the history.

    Args:
        state: the user's state.
        value_by_code: float64 [E + 1], value of an event by code.

    Attributes:
        followed: int32 [h], the items of the events that co-visitation follows, newest first; an item of several events
            is repeated.
        events: number of events that the models read.
    """

    def __init__(self, state: UserState, value_by_code: NDArray[np.float64]) -> None:
        self._events, self._values = state.events, value_by_code
        self._sums = state.values
        self.followed = state.events.items[worth_following(state.values)][::-1]
        self.events = len(state.history.items)

    def likes(self, item: int) -> bool:
        """Whether the history has the item, with a value that is not negative in sum."""
        own = self._events.items == item
        return bool(own.any()) and float(self._sums[own][0]) >= 0

    def event(self, item: int) -> tuple[int, int, int]:
        """The most valuable event with an item of the history, the latest of equals: its code, how often, and when."""
        own = np.flatnonzero(self._events.items == item)
        codes = self._events.events[own]
        code = int(max(codes.tolist()[::-1], key=lambda each: self._values[each]))
        times = self._events.timestamps[own][codes == code]
        return code, len(times), int(times.max())

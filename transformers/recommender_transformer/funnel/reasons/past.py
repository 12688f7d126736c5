"""A user's past, as far as reasons name it."""

from collections import defaultdict

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
        self._values = value_by_code
        self.followed = state.events.items[worth_following(state.values)][::-1]
        self.events = len(state.history.items)
        self._values_of_items: dict[int, float] = dict(
            zip(state.events.items.tolist(), state.values.tolist(), strict=True)
        )
        self._of_item: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for item, code, moment in zip(
            state.events.items.tolist(), state.events.events.tolist(), state.events.timestamps.tolist(), strict=True
        ):
            self._of_item[item].append((code, moment))

    def likes(self, item: int) -> bool:
        """Whether the history has the item, with a value that is not negative in sum."""
        return self._values_of_items.get(item, -1.0) >= 0

    def event(self, item: int) -> tuple[int, int, int]:
        """The most valuable event with an item of the history, the latest of equals: its code, how often, and when."""
        events = self._of_item[item]
        code = max((code for code, _ in reversed(events)), key=lambda each: self._values[each])
        times = [moment for of, moment in events if of == code]
        return code, len(times), max(times)

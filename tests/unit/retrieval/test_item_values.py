"""The value of a history's items."""

import numpy as np
import pytest

from winnow.retrieval.item_values import item_values, worth_following

VALUES = np.array([0.0, 1.0, -5.0, 0.0])
"""Of padding, a view, a dislike and an event that is recorded only."""


@pytest.mark.parametrize(
    ("items", "events", "summed", "followed"),
    [
        ([], [], [], []),
        ([7, 8, 7], [1, 1, 1], [2, 1, 2], [7, 8, 7]),
        ([7, 8, 7], [1, 1, 2], [-4, 1, -4], [8]),
        # A user with negative events only has no item to follow.
        ([7, 8], [2, 2], [-5, -5], []),
        # Events that are recorded only count where there is nothing else.
        ([7, 8, 9], [3, 1, 2], [0, 1, -5], [8]),
        ([7, 9], [3, 2], [0, -5], [7]),
    ],
)
def test_each_event_has_the_summed_value_of_its_item(
    items: list[int], events: list[int], summed: list[float], followed: list[int]
) -> None:
    history = np.array(items, np.int32)
    values = item_values(history, np.array(events, np.int32), VALUES)
    assert values.tolist() == summed
    assert history[worth_following(values)].tolist() == followed


def test_values_that_cancel_out_in_words_cancel_out_in_numbers() -> None:
    items, events = np.full(3, 4, np.int32), np.array([1, 2, 3], np.int32)
    assert item_values(items, events, np.array([0.0, 0.1, 0.2, -0.3])).tolist() == [0.0] * 3

"""Keys and history entries of the online store."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.store import history
from winnow.store.keys import ITEM_TAGS, Keys, StateKeys


def find(item_ids: Sequence[bytes]) -> NDArray[np.int32]:
    return np.array([{b"a": 1, b"b|c": 2}.get(item_id, 0) for item_id in item_ids], np.int32)


def test_a_users_keys_share_one_hash_tag() -> None:
    keys, state = Keys(3), StateKeys("s1")
    of_anna = [keys.user_row("anna"), state.history("anna"), state.seen("anna")]
    assert {key.partition("{")[2].partition("}")[0] for key in of_anna} == {"u:anna"}
    assert len(set(of_anna)) == 3
    assert all(key.startswith("r3:") for key in [of_anna[0], keys.manifest, keys.trending, keys.item("x")])


def test_a_history_round_trips_sorted_by_time() -> None:
    entries = [history.encode(30, 2, "b|c"), history.encode(40, 1, "a"), history.encode(10, 1, "gone")]
    items, events, timestamps = history.decode(entries, find)
    assert (items.tolist(), events.tolist(), timestamps.tolist()) == ([2, 1], [2, 1], [30, 40])
    assert history.decode([], find) is history.EMPTY


def test_events_with_equal_timestamps_keep_their_order() -> None:
    newest_first = [history.encode(5, 1, "b|c"), history.encode(5, 1, "a")]
    assert history.decode(newest_first, find).items.tolist() == [1, 2]


def test_items_rows_share_a_bounded_number_of_hash_tags() -> None:
    keys = [Keys(3).item(f"item {number}") for number in range(2000)]
    assert len(set(keys)) == 2000
    assert len({key.partition("{")[2].partition("}")[0] for key in keys}) == ITEM_TAGS
    assert Keys(3).item("é {x}") == Keys(3).item("é {x}")

"""The state of a user: the same for every order of the events, and written to one slot of a cluster."""

import numpy as np
from redis.crc import key_slot

from winnow.bloom.hashing import item_hash, item_hashes
from winnow.bloom.seen import WINDOW_MS, SeenFilter
from winnow.bloom.shadow import SHARE, errors, sampled
from winnow.store import history
from winnow.store.events import Event
from winnow.store.keys import EVENTS, Keys, StateKeys
from winnow.store.stored_items import StoredItem
from winnow.store.user_activity import UserActivity, watched

HASHES = item_hashes(f"item-{n}" for n in range(30_000))
VALUES = list(HASHES)
NOW = 1_760_000_000_000
SAMPLED = next(f"user-{n}" for n in range(100 * SHARE) if sampled(f"user-{n}"))


def test_keys_that_are_written_together_share_a_slot() -> None:
    """Redis Cluster refuses transactions and scripts over several slots."""
    keys = Keys(7)
    assert len({key_slot(key.encode()) for key in watched(StateKeys("s1"), "anna {b}")}) == 1
    assert len({key_slot(key.encode()) for key in (EVENTS, keys.counts, keys.lease)}) == 1


def event(user_id: str, number: int, at_ms: int = NOW) -> Event:
    return Event(user_id, f"item-{number}", 1, 1_000 + number, at_ms)


def test_a_state_is_the_same_for_every_order_of_events() -> None:
    events = [event("anna", number) for number in range(history.KEPT + 50)]
    ahead, shuffled = UserActivity.new("anna"), UserActivity.new("anna")
    ahead.apply(events, {}, WINDOW_MS)
    for position in np.random.default_rng(0).permutation(len(events)).tolist():
        shuffled.apply([events[position]] * 2, {}, WINDOW_MS)
    assert shuffled.history == ahead.history
    assert ahead.history == [history.encode(e.timestamp, 1, e.item_id) for e in events[: -history.KEPT - 1 : -1]]
    assert all(item_hash(e.item_id) in state.seen for e in events for state in (ahead, shuffled))


def test_a_state_has_the_categories_of_catalog_items() -> None:
    state = UserActivity.new("anna")
    state.apply([event("anna", 1), event("anna", 2)], {"item-1": StoredItem(1, (VALUES[7], VALUES[8]))}, WINDOW_MS)
    assert VALUES[7] in state.categories
    assert VALUES[8] in state.categories
    assert len(state.categories) == 2


def test_a_shadow_holds_the_filters_items_exactly() -> None:
    state = UserActivity.new(SAMPLED)
    state.apply([event(SAMPLED, 1, NOW - WINDOW_MS), event(SAMPLED, 2)], {}, WINDOW_MS)
    assert set(state.shadow) == {item_hash("item-1"), item_hash("item-2")}
    assert errors(state.seen, state.shadow, VALUES[1:501]) == (498, 0, 0)
    denying = SeenFilter.of(VALUES[1:2], NOW)
    assert errors(denying, state.shadow, []).false_negatives == 1
    assert errors(SeenFilter.of(VALUES[1:9], NOW), state.shadow, VALUES[1:9]) == (6, 6, 0)
    state.apply([event(SAMPLED, 3, NOW + WINDOW_MS)], {}, WINDOW_MS)
    assert set(state.shadow) == {item_hash("item-2"), item_hash("item-3")}
    assert UserActivity.new(next(f"user-{n}" for n in range(SHARE) if not sampled(f"user-{n}"))).shadow is None

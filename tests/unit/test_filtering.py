import operator
import subprocess
import sys

import numpy as np
import pytest
from rbloom import Bloom
from redis.crc import key_slot

from winnow.bloom import categories
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import WORDS, ItemHashes, item_hash, item_hashes
from winnow.bloom.scalable import Layers
from winnow.bloom.seen import FALSE_POSITIVE_RATE, SMALLEST, WINDOW_MS, SeenFilter
from winnow.bloom.shadow import SHARE, errors, sampled
from winnow.store import history
from winnow.store.events import Event
from winnow.store.item_rows import Item
from winnow.store.keys import EVENTS, Keys
from winnow.store.user_state import State, watched

HASHES = item_hashes(f"item-{n}" for n in range(30_000))
VALUES = list(HASHES)
NOW = 1_760_000_000_000
SAMPLED = next(f"user-{n}" for n in range(100 * SHARE) if sampled(f"user-{n}"))


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from winnow.bloom.hashing import item_hash; print(item_hash('Käse 7'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == item_hash("Käse 7")
    assert len(set(VALUES)) == len(VALUES)


def test_a_table_of_hashes_is_a_sequence_of_them() -> None:
    room = [0, item_hash("d")]
    table = item_hashes(["a", "b"]) + room
    table[2] = item_hash("c")
    assert list(table) == [item_hash(name) for name in "abcd"]
    assert list(table[1:3]) == [item_hash("b"), item_hash("c")]
    same = item_hashes("abcd")
    assert np.array_equal(table.words(np.arange(4)), same.words(np.arange(4)))


def test_the_table_points_at_the_bits_that_rbloom_sets() -> None:
    """A filter of one item has exactly the bits of its words set."""
    for item in range(200):
        bloom = Bloom.load_bytes(WORDS.to_bytes(8, "little") + bytes(1000), operator.index)
        bloom.add(VALUES[item])
        bits = np.unpackbits(np.frombuffer(bloom.save_bytes(), np.uint8, offset=8), bitorder="little")
        pointed = HASHES.words(np.array([item], np.int32))[0] % np.uint64(8000)
        assert set(np.flatnonzero(bits).tolist()) == set(pointed.tolist())


def test_nothing_that_went_in_is_denied_however_full_it_gets() -> None:
    seen = SeenFilter()
    for start in range(0, 5000, 50):
        seen.update(VALUES[start : start + 50], NOW)
        seen = SeenFilter.from_bytes(seen.to_bytes())
    assert all(value in seen for value in VALUES[:5000])
    assert seen.contains(np.arange(5000, dtype=np.int32), HASHES).all()


def test_false_positives_stay_below_the_rate_when_both_windows_outgrow_their_capacity() -> None:
    seen = SeenFilter()
    seen.update(VALUES[: 20 * SMALLEST], NOW)
    seen.update(VALUES[20 * SMALLEST : 40 * SMALLEST], NOW + WINDOW_MS)
    assert [layers.depth for layers in seen.windows.values()] == [5, 5]
    unmet = np.arange(40 * SMALLEST, len(HASHES), dtype=np.int32)
    assert 0 < seen.contains(unmet, HASHES).mean() <= FALSE_POSITIVE_RATE


@pytest.mark.parametrize("met", [10, 400, 4000])
def test_batch_membership_is_single_membership(met: int) -> None:
    seen = SeenFilter()
    seen.update(VALUES[1:met:3], NOW)
    seen.update(VALUES[2:met:7], NOW + WINDOW_MS)
    items = np.arange(8000, dtype=np.int32)
    expected = [VALUES[item] in seen for item in items.tolist()]
    assert seen.contains(items, HASHES).tolist() == expected
    assert seen.contains(items[:0], HASHES).shape == (0,)


def test_what_was_met_is_remembered_for_a_window_and_forgotten_after_two() -> None:
    start = NOW // WINDOW_MS * WINDOW_MS
    seen = SeenFilter()
    assert seen.update(VALUES[:1], start + WINDOW_MS - 1) == 0
    assert seen.update(VALUES[1:2], start + WINDOW_MS) == 0
    assert seen.update(VALUES[2:3], start + 2 * WINDOW_MS - 1) == 0
    assert VALUES[0] in seen
    assert seen.update(VALUES[1:2], start + 2 * WINDOW_MS) == 1
    assert VALUES[0] not in seen
    # Met again in the window that is now the current one: the older window's end does not take it away.
    assert seen.update([], start + 3 * WINDOW_MS) == 1
    assert VALUES[1] in seen
    assert VALUES[2] not in seen


def test_what_comes_late_is_put_where_it_belongs() -> None:
    seen = SeenFilter()
    seen.update(VALUES[:1], NOW)
    seen.update(VALUES[1:2], NOW - WINDOW_MS)
    seen.update(VALUES[2:3], NOW - 2 * WINDOW_MS)
    assert [value in seen for value in VALUES[:3]] == [True, True, False]
    seen.update([], NOW + WINDOW_MS)
    assert [value in seen for value in VALUES[:3]] == [True, False, False]


def test_another_window_length_forgets_nothing_too_early() -> None:
    short = WINDOW_MS // 3
    seen = SeenFilter.of(VALUES[:5], NOW)
    assert seen.update(VALUES[5:6], NOW + short - 1, short) == 0
    assert VALUES[0] in seen


def test_it_is_small() -> None:
    assert len(SeenFilter.of(VALUES[:10], NOW).to_bytes()) < 280
    assert len(SeenFilter.of(VALUES[:1000], NOW).to_bytes()) < 2500


@pytest.mark.parametrize("cut", [0, 3, 7, 12, 30])
def test_a_filter_cut_short_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match=r"(?s)filter.*cut short|another format"):
        SeenFilter.from_bytes(SeenFilter.of(VALUES[:3], NOW).to_bytes()[:cut])


@pytest.mark.parametrize("data", [b"\x80\x00\x00\x00" * 20, b"WS\x02\x00", b"WS\x01\x01\x00\x00\x00\x00\x00"])
def test_bytes_that_are_no_filter_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="filter"):
        SeenFilter.from_bytes(data)


def test_bytes_too_many_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 bytes too many"):
        SeenFilter.from_bytes(SeenFilter.of(VALUES[:3], NOW).to_bytes() + b"x")


def test_categories_are_kept_for_ever_and_looked_up_by_code() -> None:
    touched = CategoryFilter()
    touched.update(VALUES[3:200:2])
    touched = CategoryFilter.from_bytes(touched.to_bytes())
    codes = np.arange(20_000, dtype=np.int32)
    found = touched.contains(codes, HASHES)
    assert found[3:200:2].all()
    assert found[200:].mean() <= categories.FALSE_POSITIVE_RATE
    assert found.tolist()[:300] == [value in touched for value in VALUES[:300]]
    few = CategoryFilter()
    few.update(VALUES[:6])
    assert len(few.to_bytes()) < 64
    with pytest.raises(ValueError, match="category filter of another format"):
        CategoryFilter.from_bytes(SeenFilter().to_bytes())


def test_layers_say_how_full_they_are() -> None:
    layers = Layers(100, 0.01)
    layers.update(VALUES[:50])
    assert (layers.depth, layers.fill) == (1, 0.5)
    layers.update(VALUES[:151])
    assert layers.depth == 2
    assert len(layers) == pytest.approx(151, abs=3)


def test_a_set_beyond_all_measure_is_bounded_and_still_denies_nothing() -> None:
    layers = Layers(2, 0.01)
    layers.update(VALUES[:4000])
    assert layers.depth == 10
    assert layers.fill > 1
    assert layers.contains(HASHES.words(np.arange(4000, dtype=np.int32))).all()
    assert len(layers.to_bytes()) < 8000


def test_what_is_written_together_lies_in_one_slot() -> None:
    """Redis Cluster refuses transactions and scripts over several."""
    keys = Keys(7)
    assert len({key_slot(key.encode()) for key in watched(7, "anna {b}")}) == 1
    assert len({key_slot(key.encode()) for key in (EVENTS, keys.counts, keys.lease)}) == 1


def event(user_id: str, number: int, at_ms: int = NOW) -> Event:
    return Event(user_id, f"item-{number}", 1, 1_000 + number, at_ms)


def test_a_state_is_the_same_whatever_the_order_of_its_events() -> None:
    events = [event("anna", number) for number in range(history.KEPT + 50)]
    ahead, shuffled = State.new("anna"), State.new("anna")
    ahead.apply(events, {}, WINDOW_MS)
    for position in np.random.default_rng(0).permutation(len(events)).tolist():
        shuffled.apply([events[position]] * 2, {}, WINDOW_MS)
    assert shuffled.history == ahead.history
    assert ahead.history == [history.encode(e.timestamp, 1, e.item_id) for e in events[: -history.KEPT - 1 : -1]]
    assert all(item_hash(e.item_id) in state.seen for e in events for state in (ahead, shuffled))


def test_a_state_knows_the_categories_of_the_items_it_knows() -> None:
    state = State.new("anna")
    state.apply([event("anna", 1), event("anna", 2)], {"item-1": Item(1, (VALUES[7], VALUES[8]))}, WINDOW_MS)
    assert VALUES[7] in state.categories
    assert VALUES[8] in state.categories
    assert len(state.categories) == 2


def test_a_shadow_is_what_the_filter_holds_exactly() -> None:
    state = State.new(SAMPLED)
    state.apply([event(SAMPLED, 1, NOW - WINDOW_MS), event(SAMPLED, 2)], {}, WINDOW_MS)
    assert set(state.shadow) == {item_hash("item-1"), item_hash("item-2")}
    assert errors(state.seen, state.shadow, VALUES[1:501]) == (498, 0, 0)
    denying = SeenFilter.of(VALUES[1:2], NOW)
    assert errors(denying, state.shadow, []).missing == 1
    assert errors(SeenFilter.of(VALUES[1:9], NOW), state.shadow, VALUES[1:9]) == (6, 6, 0)
    state.apply([event(SAMPLED, 3, NOW + WINDOW_MS)], {}, WINDOW_MS)
    assert set(state.shadow) == {item_hash("item-2"), item_hash("item-3")}
    assert State.new(next(f"user-{n}" for n in range(SHARE) if not sampled(f"user-{n}"))).shadow is None


def test_hashes_of_many_items_come_one_by_one_too() -> None:
    assert ItemHashes.of(VALUES[:3])[2] == VALUES[2]

"""Bloom filters of seen items and of touched categories: hashes, layers, windows, and their format."""

import operator
import subprocess
import sys

import numpy as np
import pytest
from rbloom import Bloom

from winnow.bloom import categories
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import WORDS, ItemHashes, item_hash, item_hashes
from winnow.bloom.scalable import ScalableBloomFilter
from winnow.bloom.seen import FALSE_POSITIVE_RATE, INITIAL_CAPACITY, WINDOW_MS, SeenFilter

HASHES = item_hashes(f"item-{n}" for n in range(30_000))
VALUES = list(HASHES)
NOW = 1_760_000_000_000


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from winnow.bloom.hashing import item_hash; print(item_hash('Käse 7'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == item_hash("Käse 7")
    assert len(set(VALUES)) == len(VALUES)


def test_a_table_of_hashes_is_a_sequence_of_them() -> None:
    table = item_hashes("abcd")
    assert list(table) == [item_hash(name) for name in "abcd"]
    assert list(table[1:3]) == [item_hash("b"), item_hash("c")]
    same = ItemHashes.of(table)
    assert np.array_equal(table.words(np.arange(4)), same.words(np.arange(4)))


def test_the_table_points_at_the_bits_that_rbloom_sets() -> None:
    """A filter of one item has exactly the bits of its words set."""
    for item in range(200):
        bloom = Bloom.load_bytes(WORDS.to_bytes(8, "little") + bytes(1000), operator.index)
        bloom.add(VALUES[item])
        bits = np.unpackbits(np.frombuffer(bloom.save_bytes(), np.uint8, offset=8), bitorder="little")
        pointed = HASHES.words(np.array([item], np.int32))[0] % np.uint64(8000)
        assert set(np.flatnonzero(bits).tolist()) == set(pointed.tolist())


def test_no_added_item_is_ever_denied() -> None:
    seen = SeenFilter()
    for start in range(0, 5000, 50):
        seen.update(VALUES[start : start + 50], NOW)
        seen = SeenFilter.from_bytes(seen.to_bytes())
    assert all(value in seen for value in VALUES[:5000])
    assert seen.contains(np.arange(5000, dtype=np.int32), HASHES).all()


def test_false_positives_stay_below_the_rate_when_both_windows_outgrow_their_capacity() -> None:
    seen = SeenFilter()
    seen.update(VALUES[: 20 * INITIAL_CAPACITY], NOW)
    seen.update(VALUES[20 * INITIAL_CAPACITY : 40 * INITIAL_CAPACITY], NOW + WINDOW_MS)
    assert [layers.depth for layers in seen.windows.values()] == [5, 5]
    unmet = np.arange(40 * INITIAL_CAPACITY, len(HASHES), dtype=np.int32)
    assert 0 < seen.contains(unmet, HASHES).mean() <= FALSE_POSITIVE_RATE


@pytest.mark.parametrize("count", [10, 400, 4000])
def test_batch_membership_is_single_membership(count: int) -> None:
    seen = SeenFilter()
    seen.update(VALUES[1:count:3], NOW)
    seen.update(VALUES[2:count:7], NOW + WINDOW_MS)
    items = np.arange(8000, dtype=np.int32)
    expected = [VALUES[item] in seen for item in items.tolist()]
    assert seen.contains(items, HASHES).tolist() == expected
    assert seen.contains(items[:0], HASHES).shape == (0,)


def test_a_seen_item_is_kept_for_one_window_and_dropped_after_two() -> None:
    start = NOW // WINDOW_MS * WINDOW_MS
    seen = SeenFilter()
    assert seen.update(VALUES[:1], start + WINDOW_MS - 1) == 0
    assert seen.update(VALUES[1:2], start + WINDOW_MS) == 0
    assert seen.update(VALUES[2:3], start + 2 * WINDOW_MS - 1) == 0
    assert VALUES[0] in seen
    assert seen.update(VALUES[1:2], start + 2 * WINDOW_MS) == 1
    assert VALUES[0] not in seen
    # Seen again in the current window: the end of the older window does not drop it.
    assert seen.update([], start + 3 * WINDOW_MS) == 1
    assert VALUES[1] in seen
    assert VALUES[2] not in seen


def test_late_events_go_to_their_own_window() -> None:
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


def test_a_filter_is_small() -> None:
    assert len(SeenFilter.of(VALUES[:10], NOW).to_bytes()) < 280
    assert len(SeenFilter.of(VALUES[:1000], NOW).to_bytes()) < 2500


@pytest.mark.parametrize("cut", [0, 3, 7, 12, 30])
def test_a_truncated_filter_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match=r"(?s)filter.*cut short|another format"):
        SeenFilter.from_bytes(SeenFilter.of(VALUES[:3], NOW).to_bytes()[:cut])


@pytest.mark.parametrize("data", [b"\x80\x00\x00\x00" * 20, b"WS\x02\x00", b"WS\x01\x01\x00\x00\x00\x00\x00"])
def test_bytes_of_another_format_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="filter"):
        SeenFilter.from_bytes(data)


def test_trailing_bytes_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 bytes too many"):
        SeenFilter.from_bytes(SeenFilter.of(VALUES[:3], NOW).to_bytes() + b"x")


def test_categories_never_expire_and_are_looked_up_by_code() -> None:
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


def test_layers_report_their_fill() -> None:
    layers = ScalableBloomFilter(100, 0.01)
    layers.update(VALUES[:50])
    assert (layers.depth, layers.fill) == (1, 0.5)
    layers.update(VALUES[:151])
    assert layers.depth == 2
    assert len(layers) == pytest.approx(151, abs=3)


def test_a_set_far_beyond_its_capacity_is_bounded_and_denies_nothing() -> None:
    layers = ScalableBloomFilter(2, 0.01)
    layers.update(VALUES[:4000])
    assert layers.depth == 10
    assert layers.fill > 1
    assert layers.contains(HASHES.words(np.arange(4000, dtype=np.int32))).all()
    assert len(layers.to_bytes()) < 8000


def test_a_table_of_hashes_is_indexed() -> None:
    assert ItemHashes.of(VALUES[:3])[2] == VALUES[2]

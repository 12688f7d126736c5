"""Filters packed for many users at once equal those that are filled one by one."""

import numpy as np
import pytest

from winnow.bloom import categories, seen
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hashes
from winnow.bloom.seen import WINDOW_MS, SeenFilter, window_end

HASHES = item_hashes(f"item-{n}" for n in range(20_000))
NOW = 1_760_000_000_000
END = window_end(NOW, WINDOW_MS)


def test_packed_filters_equal_those_that_are_filled_one_by_one() -> None:
    counts = np.array([0, 1, 10, 5, 0, 30])
    items = np.random.default_rng(0).permutation(len(HASHES))[: counts.sum()].astype(np.int32)
    of_user = np.split(items, np.cumsum(counts)[:-1])
    packed = seen.pack(HASHES.words(items), counts, END)
    touched = categories.pack(HASHES.words(items[:16]), counts[:4])
    for user, mine in enumerate(of_user):
        one_by_one = SeenFilter()
        one_by_one.update([HASHES[item] for item in mine.tolist()], NOW)
        assert packed[user] == (one_by_one.to_bytes() if len(mine) else b"")
        if user < 4 and len(mine):
            filled = CategoryFilter()
            filled.update([HASHES[item] for item in mine.tolist()])
            assert touched[user] == filled.to_bytes()


@pytest.mark.parametrize("count", [60, 300, 5000])
def test_a_packed_filter_of_any_size_has_room_and_keeps_its_rate(count: int) -> None:
    items = np.arange(count, dtype=np.int32)
    [packed] = seen.pack(HASHES.words(items), np.array([count]), END)
    read = SeenFilter.from_bytes(packed)
    assert read.contains(items, HASHES).all()
    assert len(read) == count
    read.update([HASHES[item] for item in range(count, count + count // 3)], NOW)
    assert read.windows[END].depth == 1
    assert read.contains(np.arange(10_000, 20_000, dtype=np.int32), HASHES).mean() <= seen.FALSE_POSITIVE_RATE
    [touched] = categories.pack(HASHES.words(items), np.array([count]))
    assert CategoryFilter.from_bytes(touched).contains(items, HASHES).all()

"""The cache of item rows: bounded memory, exact rows, and their age."""

import time

import numpy as np
import pytest

from recommender_transformer.backends.row_cache import RowCache

DTYPE = np.dtype([("index", "<u4"), ("value", "<f4", (2,))])
ROW_BYTES = DTYPE.itemsize + 12


def rows(items: np.ndarray) -> np.ndarray:
    made = np.zeros(len(items), DTYPE)
    made["index"] = items
    return made


def test_the_cache_returns_the_cached_rows_only() -> None:
    rng = np.random.default_rng(0)
    cache = RowCache(items=200, dtype=DTYPE, limit=50 * ROW_BYTES, ttl_s=60.0)
    for _ in range(300):
        wanted = rng.permutation(np.arange(1, 201, dtype=np.int32))[: rng.integers(1, 80)]
        cache.put(wanted, rows(wanted))
        asked = rng.permutation(np.arange(1, 201, dtype=np.int32))
        found, held, fresh, age = cache.get(asked)
        assert (found["index"][held] == asked[held]).all()
        assert (held == fresh).all()
        assert (age[held] < 60.0).all()
        assert held.sum() <= 50
        assert cache.held_bytes == held.sum() * ROW_BYTES
    assert held.sum() == 50


def test_the_cache_holds_every_item_when_all_fit() -> None:
    cache = RowCache(items=101, dtype=DTYPE, limit=2**20, ttl_s=60.0)
    items = np.random.default_rng(0).permutation(np.arange(1, 102, dtype=np.int32))
    for part in np.array_split(items, 7):
        cache.put(part, rows(part))
    assert cache.get(items).fresh.all()
    assert (cache.get(items).rows["index"] == items).all()


def test_two_items_of_one_set_do_not_evict_each_other() -> None:
    cache = RowCache(items=1000, dtype=DTYPE, limit=10 * ROW_BYTES, ttl_s=60.0)
    both = np.array([3, 3 + 5], dtype=np.int32)
    for item in (3, 8, 3, 8):
        cache.put(np.array([item], np.int32), rows(np.array([item])))
    assert cache.get(both).held.all()
    cache.put(np.array([13], np.int32), rows(np.array([13])))
    assert cache.get(both).held.tolist() == [False, True]


@pytest.mark.parametrize(("items", "limit"), [(10, 2 * ROW_BYTES), (200, 5000), (10**7, 2**20)])
def test_the_arrays_of_the_cache_stay_within_its_bound(items: int, limit: int) -> None:
    cache = RowCache(items=items, dtype=DTYPE, limit=limit, ttl_s=60.0)
    arrays = [value for value in vars(cache).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= limit


def test_a_cache_smaller_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: must hold at least 2 rows of 24 bytes"):
        RowCache(items=10, dtype=DTYPE, limit=10, ttl_s=1.0)


def test_expired_rows_are_held_but_not_fresh() -> None:
    cache = RowCache(items=9, dtype=DTYPE, limit=2**20, ttl_s=0.02)
    items = np.array([3, 4], dtype=np.int32)
    cache.put(items, rows(items))
    assert cache.get(items).fresh.all()
    time.sleep(0.03)
    _, held, fresh, age = cache.get(items)
    assert held.all()
    assert not fresh.any()
    assert (age > 0.03).all()

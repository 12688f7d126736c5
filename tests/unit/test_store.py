import time

import numpy as np
import pytest

from recommender_transformer.backends.row_cache import RowCache
from winnow.store import history
from winnow.store.keys import ITEM_TAGS, Keys

DTYPE = np.dtype([("index", "<u4"), ("value", "<f4", (2,))])
ROW_BYTES = DTYPE.itemsize + 12
INDEX = {b"a": 1, b"b|c": 2}


def rows(items: np.ndarray) -> np.ndarray:
    made = np.zeros(len(items), DTYPE)
    made["index"] = items
    return made


def test_a_users_keys_share_one_hash_tag() -> None:
    keys = Keys(3)
    of_anna = [keys.user_row("anna"), keys.history("anna"), keys.seen("anna")]
    assert {key.partition("{")[2].partition("}")[0] for key in of_anna} == {"u:anna"}
    assert len(set(of_anna)) == 3
    assert all(key.startswith("r3:") for key in [*of_anna, keys.manifest, keys.trending, keys.item("x")])


def test_history_goes_there_and_back_sorted_by_time() -> None:
    entries = [history.encode(30, 2, "b|c"), history.encode(40, 1, "a"), history.encode(10, 1, "gone")]
    items, events, timestamps = history.decode(entries, INDEX)
    assert (items.tolist(), events.tolist(), timestamps.tolist()) == ([2, 1], [2, 1], [30, 40])
    assert history.decode([], INDEX) is history.EMPTY


def test_events_of_one_moment_keep_their_order() -> None:
    newest_first = [history.encode(5, 1, "b|c"), history.encode(5, 1, "a")]
    assert history.decode(newest_first, INDEX).items.tolist() == [1, 2]


def test_items_rows_share_a_bounded_number_of_hash_tags() -> None:
    keys = [Keys(3).item(f"item {number}") for number in range(2000)]
    assert len(set(keys)) == 2000
    assert len({key.partition("{")[2].partition("}")[0] for key in keys}) == ITEM_TAGS
    assert Keys(3).item("é {x}") == Keys(3).item("é {x}")


def test_the_cache_gives_back_what_it_was_given_and_never_another_items_row() -> None:
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


def test_the_cache_has_room_for_every_item_where_all_fit() -> None:
    cache = RowCache(items=101, dtype=DTYPE, limit=2**20, ttl_s=60.0)
    items = np.random.default_rng(0).permutation(np.arange(1, 102, dtype=np.int32))
    for part in np.array_split(items, 7):
        cache.put(part, rows(part))
    assert cache.get(items).fresh.all()
    assert (cache.get(items).rows["index"] == items).all()


def test_two_items_of_one_set_do_not_put_each_other_out() -> None:
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


def test_a_cache_without_room_for_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: must hold at least 2 rows of 24 bytes"):
        RowCache(items=10, dtype=DTYPE, limit=10, ttl_s=1.0)


def test_old_rows_are_held_but_not_fresh() -> None:
    cache = RowCache(items=9, dtype=DTYPE, limit=2**20, ttl_s=0.02)
    items = np.array([3, 4], dtype=np.int32)
    cache.put(items, rows(items))
    assert cache.get(items).fresh.all()
    time.sleep(0.03)
    _, held, fresh, age = cache.get(items)
    assert held.all()
    assert not fresh.any()
    assert (age > 0.03).all()

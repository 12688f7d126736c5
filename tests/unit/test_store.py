import time

import numpy as np

from winnow.store import history
from winnow.store.cache import RowCache
from winnow.store.keys import Keys

DTYPE = np.dtype([("index", "<u4"), ("value", "<f4", (2,))])
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


def test_the_cache_gives_back_what_it_was_given_and_never_another_items_row() -> None:
    rng = np.random.default_rng(0)
    cache = RowCache(items=200, dtype=DTYPE, capacity=50, ttl_s=60.0)
    for _ in range(300):
        wanted = rng.permutation(np.arange(1, 201, dtype=np.int32))[: rng.integers(1, 80)]
        cache.put(wanted, rows(wanted))
        asked = rng.permutation(np.arange(1, 201, dtype=np.int32))
        found, held, fresh = cache.get(asked)
        assert (found["index"][held] == asked[held]).all()
        assert (held == fresh).all()
        assert held.sum() <= 50
    assert held.sum() == 50


def test_old_rows_are_held_but_not_fresh() -> None:
    cache = RowCache(items=9, dtype=DTYPE, capacity=10, ttl_s=0.02)
    items = np.array([3, 4], dtype=np.int32)
    cache.put(items, rows(items))
    assert cache.get(items)[2].all()
    time.sleep(0.03)
    _, held, fresh = cache.get(items)
    assert held.all()
    assert not fresh.any()

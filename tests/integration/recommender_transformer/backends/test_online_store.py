"""Publication to a real Redis, and reads as the funnel does them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.online_store import Lookup, OnlineStore
from tests.support.redis_fixtures import server_and_cluster
from winnow.bloom.hashing import item_hash
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.release import Release
from winnow.store.connection import RedisError, connect
from winnow.store.keys import EVENTS, Keys, recent
from winnow.store.publish import check_published, publish
from winnow.store.shared_state import state_of

redis_url = server_and_cluster

T = TypeVar("T")


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def with_store(
    release: Release,
    url: str,
    work: Callable[[OnlineStore], Awaitable[T]],
    ttl_s: float = 5.0,
    observe: Callable[[Lookup], None] = lambda _: None,
) -> T:
    async def run() -> T:
        store = OnlineStore(release, url, row_ttl_s=ttl_s, observe=observe)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def test_a_user_is_read_as_the_log_has_it(published: Release, redis_url: str, client: Redis) -> None:
    state = with_store(published, redis_url, lambda store: store.user_state("user-4"))
    offsets = published.array("offsets")
    log = slice(int(offsets[4]), int(offsets[5]))
    newest = slice(log.stop - published.manifest.history_length, log.stop)
    assert state.history.items.tolist() == published.array("item")[newest].tolist()
    assert state.history.events.tolist() == published.array("event")[newest].tolist()
    assert state.history.timestamps.tolist() == published.array("timestamp")[newest].tolist()
    assert state.row == published.array("user_rows")[4]
    categories = published.vocabularies["category"]
    codes = published.array("item_rows")["categorical"][published.array("item")[log], 0]
    touched = {categories[code] for code in codes.tolist()}
    assert touched == {name for name in categories[1:] if item_hash(name) in state.categories}
    ids = published.strings("item_ids")
    assert all(item_hash(str(ids[item])) in state.seen for item in published.array("item")[log].tolist())
    assert client.get(Keys(published.manifest.number).manifest).decode() == published.digest


@pytest.mark.parametrize("redis_url", ["server"], indirect=True)
def test_reading_a_user_takes_one_round_trip(published: Release, redis_url: str, client: Redis) -> None:
    """Both commands of a read are sent in one batch: Redis counts two commands and one read from a socket."""

    async def count(store: OnlineStore) -> tuple[int, int]:
        await store.user_state("user-1")
        before = client.info("stats")["total_reads_processed"]
        for _ in range(10):
            await store.user_state("user-1")
        return before, client.info("stats")["total_reads_processed"]

    before, after = with_store(published, redis_url, count)
    assert after - before == 11


def test_a_cold_start_user_has_an_empty_state(published: Release, redis_url: str) -> None:
    state = with_store(published, redis_url, lambda store: store.user_state("cold-start-user"))
    assert not len(state.history.items)
    assert state.seen is None
    assert state.categories is None
    assert state.row == np.zeros(1, published.schema.user_dtype)[0]


@pytest.mark.parametrize("redis_url", ["server"], indirect=True)
def test_users_that_are_read_at_once_share_round_trips(published: Release, redis_url: str, client: Redis) -> None:
    async def read(store: OnlineStore) -> tuple[int, list[int]]:
        await store.user_state("user-1")
        before = client.info("stats")["total_reads_processed"]
        states = await asyncio.gather(*(store.user_state(f"user-{user}") for user in range(20)))
        # The second reading of the counter is a read itself.
        reads = client.info("stats")["total_reads_processed"] - before - 1
        return reads, [state.row["index"] for state in states]

    reads, rows = with_store(published, redis_url, read)
    assert rows == list(range(20))
    assert reads == 1


def test_a_value_of_a_wrong_type_fails_its_own_user_only(published: Release, redis_url: str, client: Redis) -> None:
    client.set(recent("user-3"), b"not a sorted set")

    async def read(store: OnlineStore) -> list[object]:
        reading = (store.user_state(f"user-{user}") for user in range(6))
        return await asyncio.gather(*reading, return_exceptions=True)

    try:
        states = with_store(published, redis_url, read)
    finally:
        client.delete(recent("user-3"))
    assert isinstance(states.pop(3), RedisError)
    assert [state.row["index"] for state in states] == [0, 1, 2, 4, 5]


def test_a_read_renews_rows_that_have_passed_half_of_their_time_to_live(published: Release, redis_url: str) -> None:
    lookups: list[Lookup] = []

    async def read(store: OnlineStore) -> None:
        await store.item_rows(np.array([1, 2], np.int32))
        assert store.cached_rows(np.array([1, 2], np.int32)) is not None
        assert store.cached_rows(np.array([1, 3], np.int32)) is None
        await asyncio.sleep(1.1)
        await store.item_rows(np.array([1, 3], np.int32))
        assert store.row_ages(np.array([1], np.int32))[0] < 1
        await store.item_rows(np.array([2], np.int32))

    with_store(published, redis_url, read, observe=lookups.append, ttl_s=2.0)
    assert [lookup[:3] for lookup in lookups] == [(0, 2, 0), (2, 0, 0), (0, 2, 0), (1, 0, 0)]


def test_unknown_items_are_dropped_and_counted(published: Release, redis_url: str, client: Redis) -> None:
    keys = Keys(published.manifest.number)
    client.delete(keys.item("item-2"))
    client.set(keys.item("item-3"), b"short")
    client.set(keys.item("item-4"), client.get(keys.item("item-5")))
    wanted = np.array([1, 2, 3, 4, 5], dtype=np.int32)
    lookups: list[Lookup] = []

    async def read(store: OnlineStore) -> tuple[list[bool], list[int], list[bool]]:
        rows, known = await store.item_rows(wanted)
        again, still_known = await store.item_rows(wanted)
        assert (again["index"][still_known] == rows["index"][known]).all()
        return known.tolist(), rows["index"][known].tolist(), np.isnan(store.row_ages(wanted)).tolist()

    known = [True, False, False, False, True]
    assert with_store(published, redis_url, read, observe=lookups.append) == (known, [1, 5], [not one for one in known])
    assert [lookup[:3] for lookup in lookups] == [(0, 2, 3), (2, 0, 3)]
    assert 0 < lookups[1].oldest_s < 5


def test_rows_have_an_age(published: Release, redis_url: str) -> None:
    async def read(store: OnlineStore) -> list[float]:
        await store.item_rows(np.array([1], np.int32))
        await asyncio.sleep(0.1)
        await store.item_rows(np.array([2], np.int32))
        return store.row_ages(np.array([1, 2, 3], np.int32)).tolist()

    first, second, never = with_store(published, redis_url, read)
    assert first >= 0.1
    assert 0.0 <= second < first
    assert np.isnan(never)


def test_cancelled_reads_leave_no_answer_to_later_reads(published: Release, redis_url: str, client: Redis) -> None:
    # A cluster's client would pause one node only.
    alone = isinstance(client, Redis)
    servers = [client] if alone else [client.get_redis_connection(node) for node in client.get_primaries()]

    async def give_up(store: OnlineStore) -> list[int]:
        await store.user_state("user-1")
        for server in servers:
            server.client_pause(1000, all=True)
        gone = await asyncio.gather(
            *(asyncio.wait_for(store.user_state(f"user-{user}"), 0.05) for user in range(20)), return_exceptions=True
        )
        assert all(isinstance(one, TimeoutError) for one in gone)
        for server in servers:
            server.ping()
        again = [(await store.user_state(f"user-{user}")).row["index"] for user in range(20)]
        together = await asyncio.gather(*(store.user_state(f"user-{user}") for user in range(20)))
        assert [state.row["index"] for state in together] == again
        return again

    assert with_store(published, redis_url, give_up) == list(range(20))


def test_a_changed_row_is_read_again_after_its_time_to_live(published: Release, redis_url: str, client: Redis) -> None:
    key = Keys(published.manifest.number).item("item-7")
    item = np.array([7], dtype=np.int32)

    async def read(store: OnlineStore) -> list[int]:
        seen = [(await store.item_rows(item))[0]["available"][0]]
        row = np.frombuffer(client.get(key), published.schema.item_dtype).copy()
        row["available"] = 0
        client.set(key, row.tobytes())
        seen.append((await store.item_rows(item))[0]["available"][0])
        await asyncio.sleep(0.25)
        seen.append((await store.item_rows(item))[0]["available"][0])
        return seen

    assert with_store(published, redis_url, read, ttl_s=0.2) == [1, 1, 0]


def test_publishing_again_keeps_later_events(published: Release, redis_url: str, client: Redis) -> None:
    history = state_of(published).history("user-1")
    client.lpush(history, "1800000000000|1|item-1")
    publish(published.folder, redis_url, show_progress=False)
    assert client.lindex(history, 0) == b"1800000000000|1|item-1"
    # Neither does writing rows that Redis has lost.
    last = Keys(published.manifest.number).item(str(published.strings("item_ids")[-1]))
    client.delete(last)
    publish(published.folder, redis_url, show_progress=False)
    assert client.exists(last)
    assert client.lindex(history, 0) == b"1800000000000|1|item-1"


def test_a_release_that_an_older_version_published_is_published_again(
    published: Release, redis_url: str, client: Redis
) -> None:
    """It has a state of its own under other keys, and its sidecars have applied the stream to that."""
    keys, state = Keys(published.manifest.number), state_of(published)
    ids = published.strings("item_ids").tolist()[1:]
    for item_id in ids:
        client.delete(keys.item(item_id))
    client.delete(state.releases, state.history("user-1"))
    client.xgroup_create(EVENTS, keys.group, "$", mkstream=True)
    with pytest.raises(ReleaseMismatch, match="as another version of Winnow published it: publish it again"):
        check_published(client, redis_url, published)
    publish(published.folder, redis_url, show_progress=False)
    check_published(client, redis_url, published)
    assert all(client.exists(keys.item(item_id)) for item_id in ids)
    assert client.llen(state.history("user-1"))
    assert keys.group.encode() not in {group["name"] for group in client.xinfo_groups(EVENTS)}


def test_an_interrupted_publication_is_repeated(published: Release, redis_url: str, client: Redis) -> None:
    keys = Keys(published.manifest.number)
    length = client.llen(state_of(published).history("user-1"))
    client.delete(keys.manifest, keys.item("item-1"))
    publish(published.folder, redis_url, show_progress=False)
    assert client.exists(keys.item("item-1"))
    assert client.llen(state_of(published).history("user-1")) == length


def test_another_release_under_the_same_number_is_refused(published: Release, redis_url: str, client: Redis) -> None:
    client.set(Keys(published.manifest.number).manifest, "f" * 64)
    with pytest.raises(ReleaseMismatch, match=f"ffffffffffff.*{published.digest[:12]}"):
        publish(published.folder, redis_url, show_progress=False)


def test_an_unreachable_redis_is_named(release: Release) -> None:
    with pytest.raises(WinnowError, match=r"Redis does not answer at redis://127\.0\.0\.1:1/0"):
        publish(release.folder, "redis://127.0.0.1:1/0", show_progress=False)

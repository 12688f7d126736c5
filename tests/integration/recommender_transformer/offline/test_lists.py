"""Offline lists: computed by the funnel, used as a source, and above trending when the models are away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer import lists as module
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.lists import Computed, compute, users_of
from recommender_transformer.pipeline import recommender
from tests.support.redis_fixtures import server_and_cluster
from tests.support.reuse.transformer import Transformer
from tests.support.sidecar.user_events import event
from tests.support.tiny_release import ITEMS
from winnow.erasures.tombstone import tombstone_key
from winnow.errors import WinnowError
from winnow.release import Release
from winnow.retrieval.offline_lists import decode
from winnow.store.connection import connect
from winnow.store.keys import ERASURES, IMPRESSIONS, USER_CHANGES, Keys
from winnow.store.publish import remove
from winnow.users.erase import erase

redis_url = server_and_cluster

HOUR_S = 3600


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        yield connected


@pytest.fixture
def lists(published: Release, redis_url: str, models: Any) -> Callable[..., Computed]:
    """Compute the lists, as the command does; ``expiry_s`` and ``rows`` may be given."""

    def run(expiry_s: int = HOUR_S, rows: Any = None) -> Computed:
        async def computing() -> Computed:
            store = OnlineStore(published, redis_url)
            pipeline = replace(recommender(published, store, models), side_effects=())
            runner = Runner(pipeline, store.cold_start_state, 5000)
            chosen = users_of(published, None) if rows is None else rows
            try:
                return await compute(published, store, runner, chosen, expiry_s, show_progress=False)
            finally:
                await runner.close()
                await store.close()

        return asyncio.run(computing())

    return run


@pytest.fixture
def serve(published: Release, redis_url: str, models: Any) -> Callable[..., None]:
    """Run a coroutine function with a transformer that has just looked for lists."""

    def run(use: Callable[[Transformer], Awaitable[None]]) -> None:
        async def serving() -> None:
            store = OnlineStore(published, redis_url)
            runner = Runner(recommender(published, store, models), store.cold_start_state, 5000)
            await store.lists.look()
            try:
                await use(Transformer(runner, store))
            finally:
                await runner.close()
                await store.close()

        asyncio.run(serving())

    return run


def held(client: Redis, release: Release, user_id: str) -> list[str]:
    packed = client.get(Keys(release.manifest.number).offline_list(user_id))
    assert packed is not None
    return [f"item-{index}" for index in decode(packed, ITEMS).tolist()]


def test_a_list_is_what_the_funnel_recommends_and_no_impression(
    lists: Callable[..., Computed], serve: Callable[..., None], published: Release, client: Redis
) -> None:
    shown = client.xlen(IMPRESSIONS)
    assert lists() == Computed(written=20, skipped=0)
    assert client.xlen(IMPRESSIONS) == shown
    keys = Keys(published.manifest.number)
    assert HOUR_S - 60 < client.ttl(keys.offline_list("user-3")) <= HOUR_S
    assert HOUR_S - 60 < client.ttl(keys.lists) <= HOUR_S

    async def use(one: Transformer) -> None:
        one.store.lists.exist = False
        assert [item["item_id"] for item in (await one.ask("user-3", k=100))["items"]] == held(
            client, published, "user-3"
        )

    serve(use)


def test_without_the_models_a_user_gets_the_list_without_what_was_seen_and_taken_down_since(
    lists: Callable[..., Computed], serve: Callable[..., None], published: Release, client: Redis, models: Any
) -> None:
    lists()
    before = held(client, published, "user-3")
    keys, row = Keys(published.manifest.number), published.array("item_rows")
    models.broken.update(("retriever", "ranker"))
    taken_down = row[int(before[1].removeprefix("item-"))].copy()
    taken_down["available"] = 0
    client.set(keys.item(before[1]), taken_down.tobytes())

    async def use(one: Transformer) -> None:
        await one.send(event("user-3", before[0]))
        answer = await one.ask("user-3", k=30, diversity=0.0)
        assert [item["item_id"] for item in answer["items"]] == before[2:32]
        assert all("offline" in item["sources"] for item in answer["items"])
        assert sorted(answer["degraded"]) == ["ranker: ConnectionError", "retriever: ConnectionError"]
        # A user without a list gets trending items.
        stranger = await one.ask("passer-by", k=30)
        assert {source for item in stranger["items"] for source in item["sources"]} == {"trending"}

    serve(use)
    client.set(keys.item(before[1]), row[int(before[1].removeprefix("item-"))].tobytes())


def test_with_the_models_its_items_are_candidates(
    lists: Callable[..., Computed], serve: Callable[..., None], published: Release
) -> None:
    lists()

    async def use(one: Transformer) -> None:
        answer = await one.ask("user-3", debug=True)
        assert answer["degraded"] == []
        proposed = [c for c in answer["trace"]["candidates"] if "offline" in c["sources"]]
        assert len(proposed) == 100
        # The ranker orders them with the others.
        assert all("removed_by" in candidate or candidate["click"] is not None for candidate in proposed)

    serve(use)


def test_without_lists_nothing_is_read(serve: Callable[..., None], client: Redis) -> None:
    async def use(one: Transformer) -> None:
        answer = await one.ask("user-3", debug=True)
        assert "offline" not in {step["component"] for step in answer["trace"]["stages"]}

    serve(use)


def test_a_broken_value_costs_the_source_only(
    lists: Callable[..., Computed], serve: Callable[..., None], published: Release, client: Redis
) -> None:
    lists()
    for value in (b"abc", b"\xff\xff\xff\x7f", b"\1\0\0\0\1\0\0\0", b"\0\0\0\0"):
        client.set(Keys(published.manifest.number).offline_list("user-3"), value)

        async def use(one: Transformer) -> None:
            answer = await one.ask("user-3")
            assert answer["degraded"] == ["offline: ValueError"]
            assert len(answer["items"]) == 10

        serve(use)


def test_lists_expire_and_leave_with_the_release(
    lists: Callable[..., Computed], published: Release, redis_url: str, client: Redis
) -> None:
    lists(rows=np.array([3]))
    keys = Keys(published.manifest.number)
    client.expire(keys.lists, 0)

    async def look() -> bool:
        store = OnlineStore(published, redis_url)
        try:
            await store.lists.look()
            return store.lists.exist
        finally:
            await store.close()

    assert not asyncio.run(look())
    lists(rows=np.array([3]))
    assert asyncio.run(look())
    remove(published.manifest.number, redis_url)
    assert not client.exists(keys.offline_list("user-3"))
    assert not asyncio.run(look())


def test_an_interrupted_computation_continues(
    lists: Callable[..., Computed], published: Release, client: Redis, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender_transformer.lists._SLICE", 5)
    rank, ranked = models.rank, 0

    async def until_the_twelfth(inputs: Any) -> Any:
        nonlocal ranked
        ranked += 1
        if ranked > 10:
            models.broken.add("ranker")
        return await rank(inputs)

    monkeypatch.setattr(models, "rank", until_the_twelfth)
    with pytest.raises(WinnowError, match=r"^answers are degraded \(ranker: ConnectionError\): run it again"):
        lists()
    assert int(client.hget(Keys(published.manifest.number).lists, "next")) == 10
    models.broken.clear()
    monkeypatch.setattr(models, "rank", rank)
    models.asked.clear()
    assert lists() == Computed(written=10, skipped=0)
    assert sum(name == "ranker" for name, _ in models.asked) == 10
    # A complete computation starts anew, and so does one of other users.
    assert lists() == Computed(written=20, skipped=0)
    assert lists(rows=np.array([1, 2])) == Computed(written=2, skipped=0)


def test_a_degraded_answer_is_not_written(
    lists: Callable[..., Computed], published: Release, client: Redis, models: Any
) -> None:
    rank = models.rank

    async def sometimes(inputs: Any) -> Any:
        models.broken = {"ranker"} if len(models.asked) % 3 == 0 else set()
        return await rank(inputs)

    models.rank = sometimes
    computed = lists()
    assert computed.written + computed.skipped == 20
    assert computed.skipped > 0
    keys = Keys(published.manifest.number)
    assert sum(bool(client.exists(keys.offline_list(f"user-{n}"))) for n in range(20)) == computed.written


def test_no_list_is_written_for_a_user_who_was_erased(
    published: Release,
    lists: Callable[..., Computed],
    client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Before the computation, and during it, when the list is computed already."""
    keys, names = Keys(published.manifest.number), published.array("user_ids").tolist()
    # Other tests have users of these names, in releases of their own.
    marks = [*map(tombstone_key, names[:2]), USER_CHANGES, ERASURES]
    request.addfinalizer(lambda: [client.delete(key) for key in marks])
    erase(client, names[0])
    answers = module._answers

    async def erased_meanwhile(*given: Any) -> Any:
        found = await answers(*given)
        erase(client, names[1])
        return found

    monkeypatch.setattr(module, "_answers", erased_meanwhile)
    assert lists(rows=np.arange(4)).skipped == 0
    assert [client.exists(keys.offline_list(name)) for name in names[:4]] == [0, 0, 1, 1]


def test_active_users_have_an_event_in_the_last_days(published: Release) -> None:
    offsets, times = published.array("offsets"), published.array("timestamp")
    last = times[offsets[1:] - 1]
    days = int((published.manifest.as_of - np.sort(last)[-5]) // 86_400_000) + 1
    active = users_of(published, days)
    assert 5 <= len(active) <= 20
    assert all(last[row] >= published.manifest.as_of - days * 86_400_000 for row in active)
    assert users_of(published, None).tolist() == list(range(20))
    assert users_of(published, 1).tolist() == []

"""New items after the release: written once, read by every process, and recommended like catalog items."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends import live_items
from recommender_transformer.backends.catalog import Catalog, merged
from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.redis_fixtures import server_and_cluster
from tests.support.tiny_release import new_item
from tests.support.until import async_until
from winnow.bloom.hashing import item_hash, item_hashes
from winnow.bloom.seen import SeenFilter
from winnow.release import Release
from winnow.request import Answer, ContentQuery, RecommendRequest
from winnow.signatures import NEW_ITEM_CAPACITY
from winnow.store.connection import connect
from winnow.store.keys import Keys
from winnow.store.shared_state import state_of

redis_url = server_and_cluster

ITEMS = 300


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_the_catalog_grows_behind_the_release_and_replaces_rows(release: Release) -> None:
    catalog = Catalog(release)
    assert len(catalog.rows) == len(catalog.vectors) == ITEMS + 1
    assert (catalog.new_items, catalog.newest(3).tolist()) == (0, [])
    assert catalog.put([new_item(release, "one", slot=0)]).tolist() == [ITEMS + 1]
    last = new_item(release, "last", slot=NEW_ITEM_CAPACITY - 1)
    again = new_item(release, "one", slot=0, available=0)
    assert catalog.put([last, again]).tolist() == [ITEMS + NEW_ITEM_CAPACITY, ITEMS + 1]
    assert catalog.newest(3).tolist() == [ITEMS + 1, ITEMS + NEW_ITEM_CAPACITY]
    both = np.array([ITEMS + 1, 7], np.int32)
    assert catalog.rows.take(both)["index"].tolist() == [ITEMS + 1, 7]
    assert catalog.rows.take(both)["available"].tolist() == [0, 1]
    np.testing.assert_array_equal(catalog.vectors.take(both), [again.vector, release.array("item_vectors")[7]])
    expected = item_hashes(["one", "item-7"]).words(np.arange(2))
    np.testing.assert_array_equal(catalog.words(both), expected)
    assert [catalog.item_id(index) for index in both.tolist()] == ["one", "item-7"]
    # Of items that another process has, and this one does not yet, nothing is available.
    assert catalog.rows.take(np.array([7, ITEMS + 5, 10 * ITEMS + NEW_ITEM_CAPACITY]))["available"].tolist() == [
        1,
        0,
        0,
    ]
    assert catalog.find([b"item-7", b"one", b"gone", b""]).tolist() == [7, ITEMS + 1, 0, 0]
    assert [name in catalog for name in ("item-300", "one", "two")] == [True, True, False]
    assert [catalog.index_in_release(name) for name in ("item-300", "one", "two")] == [300, 0, 0]


def test_the_scan_of_new_items_is_that_of_all_their_vectors(release: Release) -> None:
    """With more items than earlier versions took, slots without an item between them, and equal vectors."""
    catalog, rng = Catalog(release), np.random.default_rng(0)
    count, width = 6000, release.array("item_vectors").shape[1]
    template = new_item(release, "new", slot=0)
    vectors = rng.standard_normal((count, width)).astype(np.float32)
    vectors[10:13] = vectors[9]
    slots = np.sort(rng.permutation(2 * count)[:count])
    added = zip(slots.tolist(), vectors, strict=True)
    catalog.put([template._replace(item_id=f"new-{slot}", slot=slot, vector=vector) for slot, vector in added])
    # All products are negative: an empty slot, whose product is 0, must not precede them.
    for user in (vectors[9], -np.abs(rng.standard_normal(width)).astype(np.float32)):
        for k in (2, 50, count, 2 * count):
            items, products = catalog.nearest_new(user, k)
            order = np.lexsort((-slots, -(vectors @ user)))[:k]
            np.testing.assert_allclose(products, (vectors @ user)[order], rtol=1e-5, atol=1e-6)
            assert sorted(items.tolist()) == sorted((ITEMS + 1 + slots[order]).tolist())
            assert (np.diff(products) <= 0).all()
    among = np.zeros(slots.max() + 1, np.bool_)
    among[[slots[0], slots[5]]] = True
    assert sorted(catalog.nearest_new(user, 9, among)[0].tolist()) == [ITEMS + 1 + slots[0], ITEMS + 1 + slots[5]]


def test_two_sorted_lists_merge_into_one() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(50).astype(np.float32)
    order = np.argsort(-scores, kind="stable")[:20].astype(np.int32)
    known = order[order < 40]
    items, theirs = merged(known, scores[known], np.arange(40, 50, dtype=np.int32), scores[40:])
    best = np.argsort(-scores, kind="stable")[: len(known)]
    np.testing.assert_array_equal(items, best)
    np.testing.assert_array_equal(theirs, scores[best])


def test_every_slot_is_assigned_once_up_to_the_capacity(published: Release, redis_url: str) -> None:
    async def work() -> None:
        store = OnlineStore(published, redis_url)
        try:
            assert await live_items.slots(store, ["a", "b"]) == [0, 1]
            assert await live_items.slots(store, ["c", "a"]) == [2, 0]
            # Concurrent requests never share a slot.
            given = await asyncio.gather(*(live_items.slots(store, [f"x{n}", f"y{n}"]) for n in range(20)))
            assert sorted(slot for pair in given for slot in pair) == list(range(3, 43))
            await live_items.slots(store, [f"more-{n}" for n in range(NEW_ITEM_CAPACITY - 44)])
            assert await live_items.slots(store, ["the last"]) == [NEW_ITEM_CAPACITY - 1]
            with pytest.raises(live_items.NoRoom, match=r"takes 100,000 new items; build the next release"):
                await live_items.slots(store, ["b", "one too many"])
            assert await live_items.slots(store, ["b"]) == [1]
        finally:
            await store.close()

    run(work())


def test_another_process_learns_of_items_also_after_redis_was_away(published: Release, redis_url: str) -> None:
    client = connect(redis_url)

    async def work() -> None:
        writer, reader = OnlineStore(published, redis_url), OnlineStore(published, redis_url)
        await live_items.write(writer, [new_item(published, "early", slot=0)])
        position = await live_items.catch_up(reader)
        assert reader.catalog.find([b"early"]).tolist() == [ITEMS + 1]
        following = asyncio.create_task(live_items.follow(reader, redis_url, position))
        try:
            await live_items.write(writer, [new_item(published, "later", slot=1)])
            await async_until(lambda: "later" in reader.catalog)
            client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.05)
            await live_items.write(writer, [new_item(published, "after", slot=2)])
            await async_until(lambda: "after" in reader.catalog)
            # Unreadable entries are skipped and do not stop the reader.
            keys = Keys(published.manifest.number)
            client.xadd(
                keys.live_item_stream, {"item_id": "odd", "slot": 3, "vector": b"short", "row": b"", "title": ""}
            )
            client.xadd(keys.live_item_stream, {"nothing": "known"})
            await live_items.write(writer, [new_item(published, "later", slot=1, available=0)])
            await async_until(lambda: reader.catalog.rows.added["available"][1] == 0)
            assert "odd" not in reader.catalog
            assert reader.catalog.newest(9).tolist() == [ITEMS + 2, ITEMS + 3, ITEMS + 1]
            # One entry per item, however often it is replaced.
            assert client.xlen(keys.live_item_stream) == 3 + 2
            rows, known = await reader.item_rows(reader.catalog.newest(9))
            assert known.all()
            assert rows["index"].tolist() == reader.catalog.newest(9).tolist()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await writer.close()
            await reader.close()

    run(work())


def test_thousands_of_new_items_reach_a_process_that_starts_later(published: Release, redis_url: str) -> None:
    async def work() -> None:
        writer, reader = OnlineStore(published, redis_url), OnlineStore(published, redis_url)
        try:
            names = [f"new-{n}" for n in range(5000)]
            slots = await live_items.slots(writer, names)
            added = [new_item(published, name, slot=slot) for name, slot in zip(names, slots, strict=True)]
            for start in range(0, len(added), 500):
                await live_items.write(writer, added[start : start + 500])
            await live_items.catch_up(reader)
            assert reader.catalog.new_items == 5000
            last = reader.catalog.indices(["new-4999"])
            rows, known = await reader.item_rows(last)
            assert (rows["index"].tolist(), known.tolist()) == (last.tolist(), [True])
            np.testing.assert_array_equal(reader.catalog.vectors.take(last)[0], added[-1].vector)
        finally:
            await writer.close()
            await reader.close()

    run(work())


def test_a_trending_item_that_this_process_does_not_have_yet_is_left_out(
    published: Release, redis_url: str, models: Any
) -> None:
    """A sidecar counts events of new items, and the list may arrive before the item does."""
    listed = np.array([ITEMS + 1, 5, ITEMS + 9, 6], "<i4")
    connect(redis_url).set(Keys(published.manifest.number).trending, listed.tobytes())

    async def work() -> Answer:
        store = OnlineStore(published, redis_url)
        runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms=2000)
        try:
            store.learn([new_item(published, "known", slot=2)])
            [query] = await runner.admit([RecommendRequest(user_id="unknown", k=50, debug=True)], "test")
            return await runner.recommend(query)
        finally:
            await runner.close()
            await store.close()

    answer = run(work())
    trending = {c["item_id"]: c.get("removed_by") for c in answer["trace"]["candidates"] if "trending" in c["sources"]}
    assert (answer["degraded"], trending[""], len(trending)) == ([], "unknown", 3)
    assert "" not in [item["item_id"] for item in answer["items"]]


@pytest.fixture
def ask(published: Release, models: Any, redis_url: str) -> Callable[..., Answer]:
    """Run the funnel with the new items ``added``; ``prepare`` may change the store."""

    def once(user_id: str | None, added: list[Any], text: str | None = None, **fields: Any) -> Answer:
        async def work() -> Answer:
            store = OnlineStore(published, redis_url)
            runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms=2000)
            try:
                await live_items.write(store, added)
                await live_items.catch_up(store)
                query = ContentQuery(text=text) if text else None
                request = RecommendRequest(user_id=user_id, query=query, debug=True, **fields)
                [query] = await runner.admit([request], "test")
                return await runner.recommend(query)
            finally:
                await runner.close()
                await store.close()

        return run(work())

    return once


def candidate(answer: Answer, item_id: str) -> dict[str, Any]:
    [candidate] = [c for c in answer["trace"]["candidates"] if c["item_id"] == item_id]
    return candidate


def test_a_new_item_is_retrieved_by_its_exact_score_and_ranked(
    ask: Callable[..., Answer], published: Release, models: Any
) -> None:
    liked = np.asarray(published.array("item_vectors"))[models_history(published, 3)].mean(axis=0)
    likely = new_item(published, "likely", slot=5)._replace(vector=(liked / np.linalg.norm(liked)).astype(np.float32))
    unlikely = new_item(published, "unlikely", slot=2)._replace(vector=-likely.vector)
    answer = ask("user-3", [likely, unlikely], k=20)
    assert answer["degraded"] == []
    assert set(candidate(answer, "likely")["sources"]) == {"retriever", "new_items"}
    assert set(candidate(answer, "unlikely")["sources"]) == {"new_items"}
    expected = float(likely.vector @ liked)
    assert candidate(answer, "likely")["sources"]["retriever"] == pytest.approx(expected, rel=1e-4)
    assert candidate(answer, "likely")["retrieved"] == 0
    asked = dict(models.asked)["ranker"]
    numbered = asked["candidate_items"][0]
    assert asked["fresh_vectors"].shape == (1, 64, 8)
    np.testing.assert_array_equal(asked["fresh_vectors"][0, numbered[0] - ITEMS - 1], likely.vector)
    [other] = [n for n in numbered.tolist() if n > ITEMS and n != numbered[0]]
    assert {numbered[0], other} == {ITEMS + 1, ITEMS + 2}
    np.testing.assert_array_equal(asked["fresh_vectors"][0, other - ITEMS - 1], unlikely.vector)
    assert not asked["fresh_vectors"][0, 2:].any()


def models_history(release: Release, user: int) -> Any:
    offsets = release.array("offsets")
    return np.asarray(release.array("item"))[max(offsets[user], offsets[user + 1] - 12) : offsets[user + 1]]


def test_a_cold_start_user_gets_the_newest_items(ask: Callable[..., Answer], published: Release) -> None:
    items = [new_item(published, f"new-{n}", slot=n, numeric=0.99) for n in range(60)]
    answer = ask("cold-start-user", items, k=100)
    named = {c["item_id"] for c in answer["trace"]["candidates"] if "new_items" in c["sources"]}
    assert named == {f"new-{n}" for n in range(10, 60)}
    [shown] = [item for item in answer["items"] if item["item_id"] == "new-59"]
    assert shown["title"] == "new 59"
    assert all("title" not in item for item in answer["items"] if item["item_id"].startswith("item-"))


def test_filters_apply_to_new_items(ask: Callable[..., Answer], published: Release, redis_url: str) -> None:
    names = ("met", "sold-out", "of-books", "left-out", "stays")
    items = [new_item(published, name, slot=n, numeric=0.99) for n, name in enumerate(names)]
    items[1] = new_item(published, "sold-out", slot=1, available=0)
    toys = np.array([4, 0, 0], np.int32)
    items[4] = new_item(published, "stays", slot=4, numeric=0.99, categorical=toys)
    items[3] = new_item(published, "left-out", slot=3, numeric=0.99, categorical=toys)
    client = connect(redis_url)
    client.set(
        state_of(published).seen("shopper"),
        SeenFilter.of([item_hash("met")], time.time_ns() // 1_000_000).to_bytes(),
    )
    answer = ask("shopper", items, k=100, filters={"categories": ["toys"], "exclude_items": ["left-out"]})
    removed = {name: candidate(answer, name).get("removed_by") for name in names}
    assert removed == {
        "met": "seen",
        "sold-out": "available",
        "of-books": "request",
        "left-out": "request",
        "stays": None,
    }
    assert "stays" in [item["item_id"] for item in answer["items"]]


def test_a_query_finds_new_items_by_their_vectors(ask: Callable[..., Answer], published: Release, models: Any) -> None:
    ask(None, [], text="a red ball")
    [tower] = [given for name, given in models.asked if name == "item_tower"]
    placed = asyncio.run(models.tower(tower))
    like = new_item(published, "like", slot=0)._replace(vector=placed.item_vector[0])
    answer = ask(None, [like, new_item(published, "unlike", slot=1)._replace(vector=-like.vector)], text="a red ball")
    assert (answer["items"][0]["item_id"], answer["items"][0]["sources"]) == ("like", ["content"])
    assert answer["items"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert "unlike" not in [c["item_id"] for c in answer["trace"]["candidates"]]


def test_without_redis_the_learnt_new_items_stay(published: Release, models: Any) -> None:
    async def work() -> Answer:
        store = OnlineStore(published, "redis://127.0.0.1:1/0")
        store.learn([new_item(published, "known", slot=0, numeric=5.0)])
        runner = Runner(recommender(published, store, models), store.cold_start_state)
        try:
            [query] = await runner.admit([RecommendRequest(user_id="user-1", k=5, diversity=0.0)], "t")
            return await runner.recommend(query)
        finally:
            await runner.close()
            await store.close()

    answer = run(work())
    assert answer["items"][0]["item_id"] == "known"


def test_events_of_new_items_are_seen_but_not_in_the_history(published: Release, redis_url: str, models: Any) -> None:
    client = connect(redis_url)

    async def work() -> tuple[int, int]:
        store = OnlineStore(published, redis_url)
        before = await store.user_state("user-1")
        store.learn([new_item(published, "met-now", slot=0)])
        client.lpush(state_of(published).history("user-1"), "1900000000000|1|met-now")
        after = await store.user_state("user-1")
        await store.close()
        return len(before.history.items), len(after.history.items)

    before, after = run(work())
    assert after == before - 1

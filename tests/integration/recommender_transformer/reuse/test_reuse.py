"""Answers are reused while nothing that they were computed from has changed, and never beyond."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from zlib import crc32

import pytest
from prometheus_client import REGISTRY
from redis import Redis

from recommender_transformer.funnel import objectives as in_force
from recommender_transformer.funnel.reuse import held_answers
from tests.support.redis_fixtures import server_and_cluster
from tests.support.reuse.transformer import Transformer
from tests.support.sidecar.user_events import event
from tests.support.tiny_release import new_item
from winnow.bloom.seen import WINDOW_MS
from winnow.release import Release
from winnow.request import Answer
from winnow.store import objectives
from winnow.store.connection import connect
from winnow.store.events import Event
from winnow.store.keys import IMPRESSIONS, Keys
from winnow.store.shared_state import state_of
from winnow.store.user_activity import UserActivity, watched

redis_url = server_and_cluster

USER = "user-3"
"""A user with a history."""


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        yield connected


def shown(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_an_answer_is_reused_and_says_so(run: Any, models: Any, client: Redis) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        before = REGISTRY.get_sample_value("winnow_answers_reused_total") or 0
        first, calls = await one.ask(USER, request_id="first"), len(models.asked)
        await asyncio.sleep(0.02)
        again = await one.ask(USER, request_id="again")
        assert len(models.asked) == calls
        assert "reused_ms" not in first
        assert 20 <= again["reused_ms"] < 5000
        own = {name: again[name] for name in ("recommendation_id", "reused_ms")}
        assert again == first | {"request_id": "again"} | own
        assert REGISTRY.get_sample_value("winnow_answers_reused_total") == before + 1
        # Each process holds its own answers.
        assert "reused_ms" not in await other.ask(USER)

    run(use)
    # Both are impressions, equal but for id and time.
    logged = {fields[b"request_id"]: fields for _, fields in client.xrevrange(IMPRESSIONS, count=3)}
    first, again = (
        {name: value for name, value in logged[request_id].items() if name in (b"items", b"features", b"user_id")}
        for request_id in (b"first", b"again")
    )
    assert first == again
    assert [item["propensity"] for item in json.loads(again[b"items"])] == [1.0] * 10


def test_an_impression_of_a_reused_answer_may_hold_the_features(run: Any, models: Any, client: Redis) -> None:
    sampled = next(f"request-{n}" for n in range(100) if crc32(f"request-{n}".encode()) % 16 == 0)

    async def use(one: Transformer, other: Transformer) -> None:
        assert "reused_ms" not in await one.ask(USER, request_id=sampled)
        assert "reused_ms" in await one.ask(USER, request_id=sampled)

    run(use)
    (_, again), (_, first) = client.xrevrange(IMPRESSIONS, count=2)
    assert again[b"item_rows"]
    assert again[b"history_items"]
    own = {b"timestamp": b"", b"recommendation_id": b""}
    assert again | own == first | own


def test_an_event_that_one_process_acknowledged_ends_the_answers_of_the_other(run: Any) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        for trial in range(10):
            here, there = (one, other) if trial % 2 else (other, one)
            await there.ask(USER)
            before = await there.ask(USER)
            assert "reused_ms" in before
            await here.send(event(USER, shown(before)[0], timestamp=1_900_000_000_000 + trial))
            for transformer in (there, here):
                after = await transformer.ask(USER)
                assert "reused_ms" not in after
                assert shown(before)[0] not in shown(after)

    run(use)


def test_what_the_sidecar_writes_ends_the_answers(run: Any, published: Release, client: Redis) -> None:
    """Such as an event whose entry of the recent list was lost, or the log of another release."""

    async def use(one: Transformer, other: Transformer) -> None:
        before = await one.ask(USER)
        item = shown(before)[0]

        def apply(pipe: Any) -> None:
            activity = UserActivity.read(pipe, state_of(published), USER)
            activity.apply([Event(USER, item, 1, 1_900_000_000_000, 1_900_000_000_000)], {}, WINDOW_MS)
            pipe.multi()
            activity.write(pipe, state_of(published))

        client.transaction(apply, *watched(state_of(published), USER))
        after = await one.ask(USER)
        assert "reused_ms" not in after
        assert item not in shown(after)

    run(use)


def test_users_without_data_share_answers_until_their_first_event(run: Any, models: Any) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        first = await one.ask("passer-by")
        again = await one.ask("another")
        assert "reused_ms" in again
        assert (shown(again), again["user_id"]) == (shown(first), "another")
        # Known users share nothing, even if Redis held the same of both.
        await one.ask(USER)
        assert "reused_ms" not in await one.ask("user-4")
        await other.send(event("another", shown(first)[0]))
        assert shown(first)[0] not in shown(await one.ask("another"))
        assert "reused_ms" in await one.ask("a third")

    run(use)


def test_an_item_that_is_taken_down_ends_the_answers_that_show_it(
    run: Any, published: Release, client: Redis, redis_url: str
) -> None:
    keys, rows = Keys(published.manifest.number), published.array("item_rows")

    async def use(one: Transformer, other: Transformer) -> None:
        taken_down, gone = shown(await one.ask(USER))[:2]
        assert "reused_ms" in await one.ask(USER)
        row = rows[int(taken_down.removeprefix("item-"))].copy()
        row["available"] = 0
        client.set(keys.item(taken_down), row.tobytes())
        after = await one.ask(USER)
        assert "reused_ms" not in after
        assert taken_down not in shown(after)
        assert "reused_ms" in await one.ask(USER)
        client.delete(keys.item(gone))
        after = await one.ask(USER)
        assert "reused_ms" not in after
        assert gone not in shown(after)

    run(use, row_ttl_s=0.0)


def test_a_taken_down_item_is_shown_no_longer_than_by_a_computed_answer(
    run: Any, published: Release, client: Redis
) -> None:
    """The rows' time counts from when they were read, not from when the answer was made."""
    keys, rows = Keys(published.manifest.number), published.array("item_rows")

    async def use(one: Transformer, other: Transformer) -> None:
        item = shown(await one.ask(USER))[0]
        await asyncio.sleep(0.4)
        row = rows[int(item.removeprefix("item-"))].copy()
        row["available"] = 0
        client.set(keys.item(item), row.tobytes())
        # The cached row is still valid, so that a computed answer shows the item as well.
        for k in (10, 11):
            assert item in shown(await one.ask(USER, k=k))
        await asyncio.sleep(0.7)
        for k in (10, 11):
            after = await one.ask(USER, k=k)
            assert "reused_ms" not in after
            assert item not in shown(after)

    run(use, row_ttl_s=1.0)


def test_other_weights_end_the_answers(
    run: Any, published: Release, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        monkeypatch.setattr(in_force, "_TTL_S", 60.0)
        await one.ask(USER, diversity=0.0)
        assert "reused_ms" in await one.ask(USER, diversity=0.0)
        objectives.write(client, published.manifest.number, {"buy": -100.0})
        # While the weights are cached, a computed answer has the old ones as well.
        before = await one.ask(USER, diversity=0.0)
        assert "reused_ms" in before
        one.runner._pipeline.objectives._expires = 0.0
        # Another user's request reads the new weights.
        await one.ask("user-4")
        after = await one.ask(USER, diversity=0.0)
        assert "reused_ms" not in after
        assert shown(after) != shown(before)
        # Weights that the request itself gives are part of the request.
        assert "reused_ms" not in await one.ask(USER, diversity=0.0, objectives={"buy": 3.0})

    run(use)


def test_new_items_end_the_answers(run: Any, published: Release) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        await one.ask("passer-by")
        assert "reused_ms" in await one.ask("passer-by")
        one.store.learn([new_item(published, "brand-new", slot=0)])
        assert "reused_ms" not in await one.ask("passer-by")
        assert "reused_ms" in await one.ask("passer-by")
        one.store.learn([new_item(published, "brand-new", slot=0, available=0)])
        assert "reused_ms" not in await one.ask("passer-by")

    run(use)


@pytest.mark.parametrize(
    "fields",
    [
        {"k": 9},
        {"diversity": 0.4},
        {"filters": {"categories": ["books"]}},
        {"filters": {"exclude_items": ["item-1"]}},
        {"repeats": "allow"},
        {"deadline_ms": 4000},
        {"objectives": {"view": 2.0}},
    ],
)
def test_another_request_is_computed(run: Any, fields: dict[str, Any]) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        await one.ask(USER)
        assert "reused_ms" not in await one.ask(USER, **fields)
        assert "reused_ms" in await one.ask(USER, **fields)

    run(use)


@pytest.mark.parametrize("fields", [{"debug": True}, {"query": {"text": "a red ball"}}])
def test_traces_and_queries_by_content_are_computed(run: Any, fields: dict[str, Any]) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        for _ in range(2):
            assert "reused_ms" not in await one.ask(USER, **fields)

    run(use)


def test_a_degraded_answer_is_not_reused(run: Any, models: Any) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        models.broken.add("ranker")
        assert (await one.ask(USER))["degraded"]
        models.broken.clear()
        complete = await one.ask(USER)
        assert complete["degraded"] == []
        assert "reused_ms" not in complete
        models.broken.add("ranker")
        # A complete answer is, whatever has failed since.
        assert (await one.ask(USER))["degraded"] == []
        assert (await one.ask(USER, k=11))["degraded"] == ["ranker: ConnectionError"]

    run(use)


def test_rows_that_redis_does_not_give_in_time_leave_the_request_to_the_funnel(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        await one.ask(USER)
        read = one.store._values

        async def late(keys: list[str]) -> list[Any]:
            await asyncio.sleep(0.7)
            return await read(keys)

        monkeypatch.setattr(one.store, "_values", late)
        after = await one.ask(USER)
        assert "reused_ms" not in after
        assert after["degraded"] == []

    run(use, row_ttl_s=0.0)


def test_answers_expire(run: Any) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        await one.ask(USER)
        assert "reused_ms" in await one.ask(USER)
        await asyncio.sleep(0.5)
        assert "reused_ms" not in await one.ask(USER)

    run(use, reuse_s=0.5)


def test_zero_seconds_switch_it_off(run: Any) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        for _ in range(3):
            assert "reused_ms" not in await one.ask(USER)

    run(use, reuse_s=0.0)


def test_the_memory_is_bounded_in_items(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(one: Transformer, other: Transformer) -> None:
        for user in range(6):
            await one.ask(f"user-{user}")
        # An answer of 10 items counts as 11: four of them fit.
        reused = ["reused_ms" in await one.ask(f"user-{user}") for user in (5, 4, 3, 2, 1, 0)]
        assert reused == [True] * 4 + [False] * 2

    monkeypatch.setattr(held_answers, "HELD_ITEMS", 50)
    run(use)

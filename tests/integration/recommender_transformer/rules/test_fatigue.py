"""Items that a user was shown again and again lose weight, and get it back with time or after a click."""

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from recommender_transformer.backends.online_store import OnlineStore
from winnow.feedback.append import AppendOptions, append
from winnow.release import Release
from winnow.request import Answer
from winnow.store.business import shown
from winnow.store.connection import connect, connect_async
from winnow.store.keys import shown as shown_key

Ask = Callable[..., list[Answer]]
RULES = "fatigue: {after: 3, weight: 0.1, half_life_hours: 24}"
HOUR_MS = 3_600_000
REQUEST = {"user_id": "user-1", "k": 5, "diversity": 0.0, "debug": True}


def ids(answer: Answer) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture(autouse=True)
def nothing_shown(redis_url: str) -> None:
    with closing(connect(redis_url)) as client:
        for key in client.scan_iter(match=shown_key("*")):
            client.delete(key)


def held(redis_url: str, user_id: str = "user-1") -> dict[str, tuple[float, float]]:
    """Item -> showings and the second of the last one."""
    with closing(connect(redis_url)) as client:
        found = shown.decode(client.zrange(shown_key(user_id), 0, -1, withscores=True))
    each = zip(found.item_ids, found.counts.tolist(), found.seconds.tolist(), strict=True)
    return {item.decode(): (count, second) for item, count, second in each}


def age(redis_url: str, hours: float) -> None:
    """Make all showings of user-1 older."""
    with closing(connect(redis_url)) as client:
        for item, score in client.zrange(shown_key("user-1"), 0, -1, withscores=True):
            client.zadd(shown_key("user-1"), {item: score - int(hours * 3600) * 2**20})


def factors(answer: Answer) -> dict[str, float]:
    return {one["item_id"]: one["fatigue"] for one in answer["trace"]["candidates"] if "fatigue" in one}


def test_an_item_that_was_shown_three_times_loses_its_place_and_regains_it(
    ask: Ask, set_rules: Any, redis_url: str
) -> None:
    set_rules(RULES)
    first, second, third = (ask(REQUEST)[0] for _ in range(3))
    assert ids(first) == ids(second) == ids(third), "fewer showings change nothing"
    assert factors(third) == {}
    [tired] = ask(REQUEST)
    assert set(ids(tired)).isdisjoint(ids(first))
    assert factors(tired) == dict.fromkeys(ids(first), pytest.approx(0.1, rel=0.02))
    # 3 showings are 2 after log2(1.5) of a half-life: then nothing is lost any more.
    age(redis_url, 24 * np.log2(1.5) / 2)
    [half] = ask(REQUEST)
    assert all(0.1 < factor < 1 for factor in (factors(half)[item] for item in ids(first)))
    age(redis_url, 24)
    [rested] = ask(REQUEST)
    assert ids(rested) == ids(first)
    assert set(ids(first)).isdisjoint(factors(rested))


def test_a_click_refreshes_the_item_and_other_events_do_not(
    ask: Ask, set_rules: Any, redis_url: str, published: Release
) -> None:
    set_rules(RULES)
    for _ in range(3):
        ask(REQUEST)
    clicked, disliked, other = list(held(redis_url))[:3]

    async def send(item: str, event: str, refreshing: tuple[str, ...]) -> None:
        client = connect_async(redis_url)
        entry = {"user_id": "user-1", "item_id": item, "event": event, "timestamp": 1_750_000_000_000}
        await append(client, [entry], AppendOptions(), refreshing)
        await client.aclose()

    asyncio.run(send(clicked, "view", ("view", "buy")))
    asyncio.run(send(disliked, "dislike", ("view", "buy")))
    left = held(redis_url)
    assert clicked not in left
    assert {disliked, other} <= set(left)
    [answer] = ask(REQUEST | {"repeats": "allow"})
    assert clicked not in factors(answer)
    assert factors(answer)


def test_without_the_rule_nothing_is_written_or_read(ask: Ask, set_rules: Any, redis_url: str) -> None:
    set_rules("caps: {category: 3}")
    ask(REQUEST, REQUEST)
    ask({"query": {"text": "a red ball"}})
    assert held(redis_url) == {}
    with closing(connect(redis_url)) as client:
        assert "zrange" in client.info("commandstats").__str__()
        before = client.info("commandstats")["cmdstat_zrange"]["calls"]
        ask(REQUEST, REQUEST)
        assert client.info("commandstats")["cmdstat_zrange"]["calls"] - before == 2, "the recent events alone"


def test_counts_decay_from_showing_to_showing_and_the_oldest_items_are_dropped(redis_url: str) -> None:
    now = 1_750_000_000_000
    with closing(connect(redis_url)) as client:
        pipe = client.pipeline(transaction=False)
        for n in range(4):
            shown.remember(pipe, "u", ["a", "ключ"], now + n * HOUR_MS, 1.0)
        shown.remember(pipe, "u", ["a"], now + 3 * HOUR_MS, 1.0)
        # A clock that is behind does not make a showing older, nor the count larger than it is.
        shown.remember(pipe, "u", ["ключ"], now, 1.0)
        pipe.execute()
        assert 0 < client.ttl(shown_key("u")) <= 36_000
        found = held(redis_url, "u")
        assert found["a"] == (pytest.approx(2.875, abs=0.01), now // 1000 + 3 * 3600)
        assert found["ключ"] == (pytest.approx(2.875, abs=0.01), now // 1000 + 3 * 3600)
        pipe = client.pipeline(transaction=False)
        for n in range(30):
            shown.remember(pipe, "u", [f"item-{n}-{m}" for m in range(10)], now + 4 * HOUR_MS + 1000 * n, 1.0)
        for _ in range(3000):
            shown.remember(pipe, "v", ["a"], now, 8760.0)
        pipe.execute()
    found = held(redis_url, "u")
    assert set(found) == {f"item-{n}-{m}" for n in range(10, 30) for m in range(10)}
    assert held(redis_url, "v")["a"] == (pytest.approx(1024, abs=0.01), now // 1000), "the count has a bound"


def test_a_showing_is_part_of_what_an_answer_is_reused_for(ask: Ask, set_rules: Any) -> None:
    set_rules(RULES)
    answers = [ask(REQUEST | {"debug": False}, REQUEST | {"debug": False}, reuse_s=60.0) for _ in range(2)]
    assert all("reused_ms" not in first for first, _ in answers)


def test_concurrent_reads_get_each_user_their_own(set_rules: Any, published: Release, redis_url: str, ask: Ask) -> None:
    set_rules(RULES)
    ask(REQUEST, REQUEST | {"user_id": "user-2", "k": 3})

    async def read() -> list[Any]:
        store = OnlineStore(published, redis_url)
        await store.rules.look()
        try:
            users = ("user-1", "user-2", "user-3", "user-2")
            return [state.shown for state in await asyncio.gather(*map(store.user_state, users))]
        finally:
            await store.close()

    one, two, none, again = asyncio.run(read())
    assert (len(one.item_ids), len(two.item_ids), none) == (5, 3, None)
    assert again.item_ids == two.item_ids

"""The order follows the weights in force: the release's, the live ones, the request's."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from redis import Redis

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel import objectives as in_force
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.pipeline import recommender
from tests.support.redis_fixtures import server_and_cluster
from winnow.release import Release
from winnow.request import Answer, InvalidRequest, RecommendRequest
from winnow.store import objectives
from winnow.store.connection import connect
from winnow.store.keys import Keys

redis_url = server_and_cluster

Recommend = Callable[..., Answer]
RELEASE = {"view": 1.0, "buy": 4.0, "dislike": -5.0}


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with closing(connect(redis_url)) as connected:
        yield connected


def weights(answer: Answer) -> dict[str, float]:
    found: dict[str, float] = answer["trace"]["objectives"]
    return found


def test_weights_come_from_the_release_then_redis_then_the_request(
    recommend: Recommend, published: Release, client: Redis
) -> None:
    number = published.manifest.number
    assert weights(recommend("user-3", debug=True)) == RELEASE
    objectives.write(client, number, {"buy": 100.0, "dislike": 0.0})
    assert weights(recommend("user-3", debug=True)) == {"view": 1, "buy": 100, "dislike": 0}
    asked = recommend("user-3", debug=True, objectives={"buy": 0.5, "view": -2})
    assert weights(asked) == {"view": -2, "buy": 0.5, "dislike": 0}
    objectives.reset(client, number)
    assert weights(recommend("user-3", debug=True)) == RELEASE


def test_a_heavier_type_comes_first_and_the_trace_shows_its_terms(recommend: Recommend) -> None:
    def conversions(**fields: Any) -> float:
        items = recommend("user-3", k=10, diversity=0.0, **fields)["items"]
        return float(np.mean([item["conversion"] for item in items]))

    assert conversions(objectives={"buy": 1000}) > conversions() > conversions(objectives={"buy": 0})
    answer = recommend("user-3", k=10, diversity=0.0, debug=True, objectives={"buy": -1, "dislike": 0})
    # Purchases count against an item and views for it, so some values are negative; the order is that of the values.
    values = [item["value"] for item in answer["items"]]
    ranked = sorted((c for c in answer["trace"]["candidates"] if "ranked" in c), key=lambda c: c["ranked"])
    assert values == sorted(values, reverse=True) == [c["value"] for c in ranked[:10]]
    for candidate in ranked:
        assert list(candidate["types"]) == list(candidate["terms"]) == list(RELEASE)
        assert candidate["conversion"] == candidate["types"]["buy"]
        assert candidate["value"] == pytest.approx(sum(candidate["terms"].values()), rel=1e-5)
        assert candidate["terms"]["buy"] == pytest.approx(-candidate["click"] * candidate["types"]["buy"], rel=1e-5)


def test_weights_of_one_value_order_by_the_click(recommend: Recommend) -> None:
    clicks = [
        item["click"]
        for item in recommend("user-3", k=20, diversity=0.0, objectives={"view": 1, "buy": 1, "dislike": 0})["items"]
    ]
    assert clicks == sorted(clicks, reverse=True)


def test_types_that_the_release_lacks_are_refused_with_its_types(recommend: Recommend) -> None:
    message = (
        r"^instances\[0\]\.objectives: must have event types of the release as keys \(view, buy, dislike\), got 'kiss'$"
    )
    with pytest.raises(InvalidRequest, match=message):
        recommend("user-3", objectives={"buy": 1, "kiss": 1})


def test_malformed_entries_are_ignored_and_logged_once(
    published: Release, redis_url: str, models: Any, client: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(in_force, "_TTL_S", -1.0)
    key = Keys(published.manifest.number).objectives
    client.hset(key, mapping={"view": "much", "kiss": "1", "buy": "7"})
    with caplog.at_level(logging.WARNING):
        first, second = answers(published, redis_url, models, 2)
    assert weights(first) == weights(second) == RELEASE | {"buy": 7}
    logged = [record.getMessage() for record in caplog.records if key in record.getMessage()]
    assert logged == [
        f"entries of {key} are ignored, because each must be one of view, buy, dislike with a weight: "
        "b'view': b'much'; b'kiss': b'1'"
    ]


def test_live_weights_are_read_once_in_a_while_and_stay_while_redis_is_late(
    published: Release, redis_url: str, models: Any, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    objectives.write(client, published.manifest.number, {"buy": 9.0})
    read, reads = OnlineStore.objectives, 0

    async def counted(self: OnlineStore) -> dict[bytes, bytes]:
        nonlocal reads
        reads += 1
        if reads > 1:
            await asyncio.sleep(5)
        return await read(self)

    monkeypatch.setattr(OnlineStore, "objectives", counted)
    assert [weights(answer)["buy"] for answer in answers(published, redis_url, models, 3)] == [9.0] * 3
    assert reads == 1, "within the time for which they are cached"
    monkeypatch.setattr(in_force, "_TTL_S", -1.0)
    reads = 0
    first, late = answers(published, redis_url, models, 2, deadline_ms=400)
    assert (first["degraded"], late["degraded"]) == ([], ["objectives: no answer within 100 ms"])
    assert weights(late)["buy"] == 9.0
    assert late["items"] == first["items"]


def answers(published: Release, redis_url: str, models: Any, count: int, deadline_ms: int = 5000) -> list[Answer]:
    """Answers of one process, one after another."""

    async def run() -> list[Answer]:
        store = OnlineStore(published, redis_url)
        runner = Runner(recommender(published, store, models), store.cold_start_state, deadline_ms)
        try:
            found = []
            for _ in range(count):
                [query] = await runner.admit([RecommendRequest(user_id="user-3", debug=True)], "test")
                found.append(await runner.recommend(query))
            return found
        finally:
            await runner.close()
            await store.close()

    return asyncio.run(run())


def test_without_the_ranker_there_is_no_value_and_the_order_of_the_sources_stays(
    recommend: Recommend, models: Any
) -> None:
    models.broken = {"ranker"}
    answer = recommend("user-3", k=10, diversity=0.0, debug=True, objectives={"buy": 100})
    assert answer["degraded"] == ["ranker: ConnectionError"]
    assert [(item["click"], item["conversion"], item["value"]) for item in answer["items"]] == [(None, None, None)] * 10
    scored = [c for c in answer["trace"]["candidates"] if "ranked" in c]
    assert all((c["types"], c["terms"], c["value"]) == (None, None, None) for c in scored)
    assert [c["ranked"] for c in scored] == list(range(len(scored)))


def test_a_query_by_content_blends_the_value(recommend: Recommend) -> None:
    light, heavy = (
        recommend("user-3", k=50, diversity=0.0, query={"text": "a red ball"}, objectives={"buy": weight})["items"]
        for weight in (0, 1000)
    )
    assert [item["item_id"] for item in light] != [item["item_id"] for item in heavy]
    assert np.mean([item["conversion"] for item in light]) < np.mean([item["conversion"] for item in heavy])
    # A cold-start user's answer is by content alone, and the ranker is not called.
    assert {item["value"] for item in recommend(None, k=5, query={"text": "a red ball"})["items"]} == {None}

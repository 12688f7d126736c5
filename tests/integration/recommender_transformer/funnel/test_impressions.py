"""Impressions in the stream: enough to train on, and to check the served features."""

import asyncio
import json
from hashlib import blake2b
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from prometheus_client import REGISTRY
from redis import Redis

from recommender_transformer.backends.online_store import OnlineStore
from recommender_transformer.funnel.runner import Runner
from recommender_transformer.funnel.side_effects import impressions
from recommender_transformer.pipeline import recommender
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.keys import EXPORTED, IMPRESSIONS

SAMPLED = next(f"request-{n}" for n in range(100) if crc32(f"request-{n}".encode()) % 16 == 0)
OTHER = next(f"request-{n}" for n in range(100) if crc32(f"request-{n}".encode()) % 16)


@pytest.fixture
def client(redis_url: str) -> Redis:
    return Redis.from_url(redis_url)


def show(release: Release, url: str, models: Any, *request_ids: str, k: int = 3) -> list[Answer]:
    async def run() -> list[Answer]:
        store = OnlineStore(release, url)
        runner = Runner(recommender(release, store, models), store.cold_start_state, 2000)
        request = RecommendRequest(user_id="user-1", k=k)
        answers = []
        for request_id in request_ids:
            [query] = await runner.admit([request], request_id)
            answers.append(await runner.recommend(query))
        await asyncio.sleep(0.3)
        await runner.close()
        await store.close()
        return answers

    return asyncio.run(run())


def test_an_impression_records_items_positions_and_sources(
    client: Redis, published: Release, redis_url: str, models: Any
) -> None:
    [answer] = show(published, redis_url, models, OTHER)
    [(_, shown)] = client.xrevrange(IMPRESSIONS, count=1)
    kept = {name.decode(): value.decode() for name, value in shown.items()}
    assert kept["request_id"] == OTHER
    assert kept["user_id"] == "user-1"
    assert int(kept["release"]) == published.manifest.number
    assert json.loads(kept["degraded"]) == []
    assert json.loads(kept["items"]) == [
        {name: item[name] for name in ("item_id", "position", "score", "sources")} | {"propensity": 1.0}
        for item in answer["items"]
    ]
    always = {"request_id", "recommendation_id", "user_id", "release", "timestamp", "items", "degraded", "features"}
    assert set(kept) == always
    assert len(kept["features"]) == 16


def test_a_sampled_impression_holds_the_served_features(
    client: Redis, published: Release, redis_url: str, models: Any
) -> None:
    [answer] = show(published, redis_url, models, SAMPLED)
    [(_, shown)] = client.xrevrange(IMPRESSIONS, count=1)
    rows = np.frombuffer(shown[b"item_rows"], published.schema.item_dtype)
    ids = published.strings("item_ids")
    assert [str(ids[index]) for index in rows["index"]] == [item["item_id"] for item in answer["items"]]
    assert rows.tobytes() == published.array("item_rows")[rows["index"]].tobytes()
    assert np.frombuffer(shown[b"user_row"], published.schema.user_dtype)[0] == published.array("user_rows")[1]
    digest = blake2b(shown[b"item_rows"] + shown[b"user_row"], digest_size=8).hexdigest()
    assert shown[b"features"].decode() == digest
    end = int(published.array("offsets")[2])
    newest = slice(end - published.manifest.history_length, end)
    for column, kind in {"item": "<i4", "event": "<i4", "timestamp": "<i8"}.items():
        held = np.frombuffer(shown[f"history_{column}s".encode()], kind)
        assert held.tolist() == published.array(column)[newest].tolist()


def test_impressions_trimmed_before_their_export_are_counted(
    client: Redis, published: Release, redis_url: str, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impressions, "_MAX_LENGTH", 50)
    client.delete(IMPRESSIONS, EXPORTED)
    stream_ids = [client.xadd(IMPRESSIONS, {"request_id": n}) for n in range(160)]
    client.set(EXPORTED, stream_ids[29])
    before = REGISTRY.get_sample_value("winnow_impressions_trimmed_total") or 0
    show(published, redis_url, models, OTHER)
    assert client.xlen(IMPRESSIONS) == 50
    assert client.xrange(IMPRESSIONS, count=1)[0][0] == stream_ids[111]
    assert REGISTRY.get_sample_value("winnow_impressions_trimmed_total") == before + 111 - 30
    show(published, redis_url, models, OTHER)
    assert client.xlen(IMPRESSIONS) == 51

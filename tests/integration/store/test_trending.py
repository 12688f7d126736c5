"""Counts that several sidecars share, and the trending list made from them."""

import time

import numpy as np
import pytest
from redis import Redis

from tests.support.redis_fixtures import server_and_cluster
from winnow.release import Release
from winnow.store import trending
from winnow.store.keys import EVENTS, Keys
from winnow.store.trending import HALF_LIFE_MS, Done

redis_url = server_and_cluster


def listed(client: Redis, release: Release) -> list[int]:
    return np.frombuffer(client.get(Keys(release.manifest.number).trending), "<i4").tolist()


def popular(release: Release) -> np.ndarray:
    return np.asarray(release.array("popular"))


def read(client: Redis, release: Release, entries: int) -> list[bytes]:
    group = Keys(release.manifest.number).group
    client.xgroup_create(EVENTS, group, id="$", mkstream=True)
    for _ in range(entries):
        client.xadd(EVENTS, {"any": "thing"})
    [(_, held)] = client.xreadgroup(group, "anna", {EVENTS: ">"}, count=entries)
    return [stream_id for stream_id, _ in held]


def test_counts_start_with_the_log(client: Redis, published: Release) -> None:
    values = np.array([0.0, *published.schema.event_values])[published.array("event")] * published.array("grade")
    assert (values < 0).any()
    ages = (published.manifest.as_of - published.array("timestamp")) / HALF_LIFE_MS
    # A dislike neither raises nor lowers a count.
    expected = np.bincount(published.array("item"), values.clip(min=0) * 0.5**ages)
    counts = dict(client.zrange(Keys(published.manifest.number).counts, 0, -1, withscores=True))
    assert counts == pytest.approx({str(i).encode(): count for i, count in enumerate(expected) if count > 0})


def test_an_entry_is_counted_once(client: Redis, published: Release) -> None:
    number = published.manifest.number
    counts = Keys(number).counts
    client.delete(counts)
    first, second, unknown = read(client, published, 3)
    assert trending.acknowledge(client, number, [Done(first, 7, 2.0), Done(unknown)]) == 1
    assert trending.acknowledge(client, number, [Done(first, 7, 2.0), Done(second, 7, 0.25)]) == 1
    assert client.zrange(counts, 0, -1, withscores=True) == [(b"7", 2.25)]
    assert client.xpending(EVENTS, Keys(number).group)["pending"] == 0


def test_an_event_weighs_twice_one_that_is_a_half_life_older() -> None:
    created = 1_700_000_000_000
    assert trending.increment(3.0, created, created) == 3.0
    assert trending.increment(3.0, created + HALF_LIFE_MS, created) == 6.0
    assert trending.increment(3.0, created - 10_000 * HALF_LIFE_MS, created) == 0.0


def test_one_sidecar_rewrites_the_list_and_fills_it_from_the_release(client: Redis, published: Release) -> None:
    number = published.manifest.number
    client.delete(Keys(number).counts, Keys(number).lease)
    client.zadd(Keys(number).counts, {"7": 1.0, "250": 9.0})
    assert trending.refresh(client, number, popular(published), "anna")
    assert not trending.refresh(client, number, popular(published), "ben")
    rest = [item for item in popular(published).tolist() if item not in (250, 7)]
    assert listed(client, published) == [250, 7, *rest][: len(popular(published))]
    assert 0 < client.pttl(Keys(number).lease) <= trending.REFRESH_MS


def test_counts_are_bounded(client: Redis, published: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trending, "KEPT", 20)
    number = published.manifest.number
    client.delete(Keys(number).lease)
    client.zadd(Keys(number).counts, {"299": 1e9})
    trending.refresh(client, number, popular(published), "anna")
    assert client.zcard(Keys(number).counts) == 20
    assert listed(client, published)[0] == 299


def test_a_burst_of_events_reaches_the_list(client: Redis, published: Release) -> None:
    number = published.manifest.number
    now = int(time.time() * 1000)
    created = trending.created_ms(published.manifest)
    done = [Done(stream_id, 123, trending.increment(4.0, now, created)) for stream_id in read(client, published, 200)]
    trending.acknowledge(client, number, done)
    client.delete(Keys(number).lease)
    trending.refresh(client, number, popular(published), "anna")
    assert listed(client, published)[0] == 123

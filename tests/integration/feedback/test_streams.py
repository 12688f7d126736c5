"""Streams longer than one read are read whole, in order and without duplicates."""

from collections.abc import Iterator

import pytest
from redis import Redis

from winnow.feedback.streams import entries, newest_impressions
from winnow.store.connection import Client, connect
from winnow.store.keys import EVENTS, IMPRESSIONS

COUNT = 4500
"""More than two reads of either stream."""


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[Client]:
    with connect(redis_url) as connected:
        yield connected


def append(client: Redis, stream: str) -> list[bytes]:
    """Stream ids of the appended entries; many share a millisecond."""
    pipe = client.pipeline(transaction=False)
    for number in range(COUNT):
        pipe.xadd(stream, {"number": number}, id=f"{1_000 + number // 700}-{number % 700}")
    ids: list[bytes] = pipe.execute()
    return ids


def test_entries_yields_the_whole_event_stream_oldest_first(client: Redis) -> None:
    assert list(entries(client)) == []
    ids = append(client, EVENTS)
    assert [stream_id for stream_id, _ in entries(client)] == ids
    assert [int(fields[b"number"]) for _, fields in entries(client, after=ids[2000])] == list(range(2001, COUNT))
    assert list(entries(client, after=ids[-1])) == []


def test_newest_impressions_yields_the_whole_stream_newest_first(client: Redis) -> None:
    ids = append(client, IMPRESSIONS)
    assert [stream_id for stream_id, _ in newest_impressions(client)] == ids[::-1]

"""Erasing and merging on a Redis Cluster: a user's keys, the streams and the ledger are on different nodes."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from bloom_sidecar.consumer import Consumer
from tests.support.redis_cluster import Cluster, redis_cluster
from tests.support.users.traces import in_redis
from winnow.release import Release
from winnow.store.connection import Client, connect
from winnow.store.keys import EVENTS, Keys, attributes, recent
from winnow.store.shared_state import state_of
from winnow.users.attributes import Attributes
from winnow.users.erase import erase
from winnow.users.merge import merge
from winnow.users.reading import read


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with redis_cluster() as running:
        yield running


@pytest.fixture
def redis_url(cluster: Cluster) -> str:
    return cluster.url


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with closing(connect(redis_url)) as connected:
        yield connected


def test_users_of_every_node_are_erased(published: Release, cluster: Cluster, client: Client) -> None:
    users = [f"user-{number}" for number in range(20)]
    assert {cluster.place(recent(user_id)) for user_id in users} == {0, 1, 2}
    for user_id in users:
        fields = {"user_id": user_id, "item_id": "item-5", "event": "view", "timestamp": 10**12}
        client.xadd(EVENTS, fields)
    consumer = Consumer(client, published, "test")
    consumer.group.join()
    while consumer.step():
        pass
    for user_id in users[:10]:
        done = erase(client, user_id)
        assert done.searched["keys"] >= 300
        assert done.removed["keys"] >= 4
    assert in_redis(client, [f"{user_id}}}".encode() for user_id in users[:10]]) == []
    assert {fields[b"user_id"].decode() for _, fields in client.xrange(EVENTS)} == {*users[10:]}
    assert client.exists(Keys(published.manifest.number).user_row(users[10]))


def test_users_of_two_nodes_are_merged(published: Release, cluster: Cluster, client: Client) -> None:
    names = [f"person-{number}" for number in range(20)]
    former, other = next(
        (one, two) for one in names for two in names if cluster.place(recent(one)) != cluster.place(recent(two))
    )
    live = Attributes(client, published)
    live.change([(former, {"country": "is"})])
    merge(client, published, live, former, other)
    assert read(client, published, live, other, 5)["attributes"] == {"country": "is"}
    assert not client.exists(attributes(former))
    erase(client, other)
    assert in_redis(client, [former.encode(), other.encode()]) == []
    assert client.llen(state_of(published).history("user-15")) > 0

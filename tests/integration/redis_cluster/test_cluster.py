"""The real transformer and sidecar on a real Redis Cluster, and the loss of one of its nodes."""

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.exceptions import RedisError

from recommender_transformer.backends.online_store import OnlineStore
from tests.support.faults.failover import fail_over
from tests.support.redis_cluster import MASTERS, Cluster, redis_cluster
from tests.support.redis_fixtures import own_redis
from tests.support.sidecar.process import start_sidecar
from tests.support.tiny_release import UNAVAILABLE, USERS
from tests.support.transformer_server import serving
from tests.support.until import until
from winnow.errors import WinnowError
from winnow.local import redis as local_redis
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.publish import publish

NUMBER = 6003


class Running(NamedTuple):
    release: Release
    server: Any
    port: int
    sidecar: Any


@contextmanager
def running(folder: Path, redis_url: str) -> Iterator[Running]:
    """A transformer and a sidecar, each in a process of its own."""
    with serving(folder, NUMBER, redis_url) as server:
        served = Release.open(folder / str(NUMBER))
        sidecar = start_sidecar(served, redis_url, folder, Ports.free().sidecar)
        try:
            yield Running(served, server, int(server.url.rpartition(":")[2]), sidecar)
        finally:
            sidecar.terminate()
            assert sidecar.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Running]:
    """Release 6003 on the shared cluster."""
    with running(tmp_path_factory.mktemp("served"), redis_url) as parts:
        yield parts


def ask(served: Running, user_id: str, **fields: Any) -> Any:
    status, body = served.server.v1({"user_id": user_id, **fields})
    assert status == 200
    [answer] = body["predictions"]
    assert answer["degraded"] == []
    return answer["items"]


def ids(items: Any) -> list[str]:
    return [item["item_id"] for item in items]


def test_answers_equal_those_of_a_single_redis(
    recommend: Any, redis_url: str, published: Release, tmp_path: Path
) -> None:
    with own_redis(tmp_path) as alone:
        publish(published.folder, alone, show_progress=False)
        for user in range(USERS):
            # Each client is new and discovers the cluster's nodes first: on a busy machine that takes a while.
            on_cluster, on_one = (
                recommend(f"user-{user}", k=50, url=url, deadline_ms=10_000) for url in (redis_url, alone)
            )
            assert on_cluster["degraded"] == on_one["degraded"] == []
            assert on_cluster["items"] == on_one["items"]


def test_seen_items_are_filtered_at_once(served: Running) -> None:
    for user in ("user-1", "user-2", "user-3", "user-4", "cold-start-user"):
        shown = ids(ask(served, user, k=10))[0]
        status, _ = served.server.v1({"user_id": user, "item_id": shown, "event": "view"}, model="events")
        assert status == 200
        assert shown not in ids(ask(served, user, k=100))


def test_a_new_item_is_found(served: Running) -> None:
    item = {"item_id": "on-the-cluster", "title": "an old game"}
    status, body = served.server.v1(item, model="items")
    assert (status, body["predictions"][0]["item_id"]) == (200, "on-the-cluster")
    until(lambda: "on-the-cluster" in ids(query(served, "an old game")))


def query(served: Running, text: str) -> Any:
    status, body = served.server.v1({"query": {"text": text}, "k": 50})
    assert status == 200
    return body["predictions"][0]["items"]


def test_items_with_many_events_are_trending(served: Running) -> None:
    popular = served.release.array("popular").tolist()
    item = next(f"item-{index}" for index in reversed(popular) if index not in UNAVAILABLE)
    for start in range(0, 600, 60):
        crowd = [{"user_id": f"fan-{n}", "item_id": item, "event": "buy"} for n in range(start, start + 60)]
        assert served.server.v1(*crowd, model="events")[0] == 200
    until(lambda: any(i["item_id"] == item and "trending" in i["sources"] for i in ask(served, "new", k=100)))


def test_row_metrics_are_exposed(served: Running) -> None:
    ask(served, "user-5")
    with urllib.request.urlopen(f"{served.server.url}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    assert samples['winnow_item_rows_total{source="redis"}'] > 0
    assert samples['winnow_item_rows_total{source="process"}'] > 0
    assert samples["winnow_unknown_items_total"] == 0
    assert samples["winnow_item_row_age_seconds_count"] > 0
    assert 0 < samples["winnow_item_rows_held_bytes"] <= samples["winnow_item_rows_held_bytes_limit"]


def test_a_single_redis_is_refused_as_a_cluster(tmp_path: Path) -> None:
    port = Ports.free().redis
    refused = pytest.raises(WinnowError, match=rf"redis\+cluster://127\.0\.0\.1:{port}: .*Cluster mode is not enabled")
    with local_redis.server(tmp_path, port, tmp_path / "redis.log"), refused:
        connect(f"redis+cluster://127.0.0.1:{port}")


def test_a_cluster_node_is_refused_as_a_single_redis(cluster: Cluster) -> None:
    port = cluster.masters[0].port
    with pytest.raises(WinnowError, match=rf"begin with redis\+cluster://, because 127\.0\.0\.1:{port}/0 is a node"):
        connect(f"redis://127.0.0.1:{port}/0")


def test_a_transaction_fails_when_its_connection_is_lost(cluster: Cluster) -> None:
    """A new connection watches no key, so a concurrent write would be lost."""
    node = cluster.masters[cluster.place("key")].client

    def update(pipe: Any) -> None:
        pipe.get("key")
        node.set("key", "theirs")
        node.client_kill_filter(_type="normal", skipme=True)
        pipe.get("key")
        pipe.multi()
        pipe.set("key", "ours")

    with connect(cluster.url) as client, pytest.raises(RedisError):
        client.transaction(update, "key")
    assert node.get("key") == b"theirs"


def test_a_hanging_node_is_replaced_although_every_read_is_cancelled(release: Release) -> None:
    """No connection breaks, and no read waits until its socket time-out."""

    async def read(store: OnlineStore, user: str) -> bool:
        with suppress(TimeoutError, RedisError):
            async with asyncio.timeout(0.05):
                return (await store.user_state(user)).row["index"] == int(user.removeprefix("user-"))
        return False

    async def work(cluster: Cluster) -> None:
        store = OnlineStore(release, cluster.url)
        try:
            assert await read(store, "user-3")
            with cluster.masters[cluster.place(store.keys.user_row("user-3"))].frozen():
                assert not await read(store, "user-3")
                deadline = time.monotonic() + 60
                while not await read(store, "user-3"):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
        finally:
            await store.close()

    with redis_cluster(replicas=MASTERS) as cluster:
        publish(release.folder, cluster.url, show_progress=False)
        asyncio.run(work(cluster))


@pytest.mark.slow
def test_a_killed_node_is_replaced_and_no_replicated_event_is_lost(tmp_path: Path) -> None:
    with redis_cluster(replicas=MASTERS) as cluster, running(tmp_path, cluster.url) as parts:
        found = fail_over(cluster, parts.port, parts.sidecar.pid, parts.release, events=100)
        assert (found.events, found.lost, found.denied, found.refused) == (100, 0, 0, 0)
        assert found.degraded < found.asked
        assert parts.sidecar.poll() is None
        # Events count again, which needs the sidecar, and lists are complete.
        test_seen_items_are_filtered_at_once(parts)

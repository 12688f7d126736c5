"""Events appended to a cluster: replication before the acknowledgement, and the export."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.redis_cluster import MASTERS, redis_cluster
from winnow.feedback.append import Appended, AppendOptions, NotReplicated, append
from winnow.feedback.export import export
from winnow.store.connection import connect, connect_async
from winnow.store.keys import EVENTS


def send(url: str, event_id: str, limits: AppendOptions) -> Appended:
    async def work() -> Appended:
        client = connect_async(url)
        try:
            event = {"user_id": "u", "item_id": "i", "event": "view", "timestamp": 1, "event_id": event_id}
            [appended] = await append(client, [event], limits)
            return appended
        finally:
            await client.aclose()

    return asyncio.run(work())


def test_an_event_is_acknowledged_once_a_replica_holds_it_and_exported_once(tmp_path: Path) -> None:
    limits = AppendOptions(replicas=1)
    with redis_cluster(replicas=MASTERS) as cluster:
        first = send(cluster.url, "a", limits)
        replica = cluster.replicas[cluster.place(EVENTS)]
        with replica.frozen(), pytest.raises(NotReplicated, match="0 of 1 replicas"):
            send(cluster.url, "b", limits)
        assert send(cluster.url, "b", limits).duplicate
        assert send(cluster.url, "a", limits) == first._replace(duplicate=True)
        done = export(str(tmp_path), cluster.url, show_progress=False)
        assert done.events == 2, json.dumps(done._asdict())
        with connect(cluster.url) as client:
            assert client.xlen(EVENTS) == 0

"""Redis's memory after the real publication of releases of any size, on a server of its own."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.scale.subjects.sized_release import AS_OF, ReleaseSize, equal_histories, write
from winnow.feedback.append import AppendOptions, append
from winnow.local import redis
from winnow.ports import Ports
from winnow.store.connection import Client, connect, connect_async
from winnow.store.keys import IMPRESSIONS
from winnow.store.publish import publish

HISTORIES = (0, 1, 3, 10, 30, 60, 100, 150, 200, 400)
"""Events per user at which the memory of a user is measured; between them it is interpolated."""

_ITEMS, _USERS, _FEW = 60_000, 8_000, 1_000


@contextmanager
def server() -> Iterator[tuple[str, Client]]:
    """An empty Redis without persistence, and a connection to it."""
    with tempfile.TemporaryDirectory(prefix="winnow-units-redis-") as scratch:
        folder, port = Path(scratch), Ports.free().redis
        with redis.server(folder / "redis", port, folder / "redis.log", appendonly="no"):
            client = connect(redis.url(port))
            with client:
                yield redis.url(port), client


def used(client: Client) -> int:
    """``used_memory``, in bytes."""
    return int(client.info("memory")["used_memory"])


def published(items: int, histories: NDArray[np.int64]) -> tuple[int, int]:
    """Bytes that a release takes in an empty Redis, and that a second one of the same data adds to it.

    Args:
        items: items of the release.
        histories: int64 [users], events of each user.
    """
    size = ReleaseSize(items, histories)
    with server() as (url, client), tempfile.TemporaryDirectory(prefix="winnow-units-release-") as scratch:
        held = [used(client)]
        for number in (1, 2):
            publish(write(Path(scratch), number, size).folder, url, show_progress=False)
            shutil.rmtree(Path(scratch) / str(number))
            held.append(used(client))
    return held[1] - held[0], held[2] - held[1]


def item_bytes() -> tuple[float, float]:
    """Bytes of an item: of a first release, and that a second one adds."""
    few, many = (published(items, equal_histories(1, 1)) for items in (_FEW, _ITEMS))
    first, more = ((many[k] - few[k]) / (_ITEMS - _FEW) for k in (0, 1))
    return first, more


def user_bytes(histories: Sequence[int] = HISTORIES) -> list[tuple[int, float, float]]:
    """By events of a history: the events, bytes of a user, and bytes that a second release adds."""
    found = []
    for events in histories:
        few, many = (published(_FEW, equal_histories(users, events)) for users in (1, _USERS))
        first, more = ((many[k] - few[k]) / (_USERS - 1) for k in (0, 1))
        found.append((events, first, more))
    return found


def events(count: int = 4_000) -> tuple[float, float]:
    """Bytes of Redis per acknowledged event with an ``event_id``, each of another user, and its CPU microseconds."""
    with server() as (url, client):
        before, busy = used(client), _cpu_s(client)
        asyncio.run(_append(url, count))
        return (used(client) - before) / count, 1e6 * (_cpu_s(client) - busy) / count


def impressions(count: int = 4_000, shown: int = 10) -> tuple[float, float]:
    """Bytes of Redis per impression of ten items, and its CPU microseconds."""
    items = [{"item_id": f"i{at:09d}", "position": at, "score": 0.123456, "propensity": 1.0} for at in range(shown)]
    listed = orjson.dumps([item | {"sources": ["retriever", "covisitation"]} for item in items])
    entry = {"request_id": "0" * 32, "user_id": "u000000001", "release": "1", "timestamp": str(AS_OF), "items": listed}
    with server() as (_, client):
        before, busy = used(client), _cpu_s(client)
        for _ in range(count):
            client.xadd(IMPRESSIONS, entry | {"degraded": "[]", "features": "0" * 16})  # type: ignore[arg-type]
        return (used(client) - before) / count, 1e6 * (_cpu_s(client) - busy) / count


async def _append(url: str, count: int) -> None:
    client = connect_async(url)
    try:
        for number in range(count):
            event: dict[str, str | int | float | None] = {"user_id": f"u{number:09d}", "item_id": f"i{number:09d}"}
            event |= {"event": "view", "timestamp": AS_OF, "event_id": f"{number:032d}"}
            await append(client, [event], AppendOptions())
    finally:
        await client.aclose()


def _cpu_s(client: Client) -> float:
    """CPU seconds of the server so far."""
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

"""Lists for many users: a batch beside the same requests to the endpoint, in turn, on the same machine.

The release is one of untrained models, whose lists mean nothing and cost what those of a trained one cost. Every way
computes in as many processes as there are cores.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.common.rows import Row, row
from benchmarks.scale.subjects.untrained_release import CatalogSize, write
from tests.support.transformer_process import transformer
from winnow import protocols
from winnow.batch.run import BatchOptions, run
from winnow.local import redis
from winnow.ports import Ports
from winnow.release import Release
from winnow.request import MAX_DEADLINE_MS
from winnow.store.publish import publish

K = 50
CONNECTIONS = 8
TOGETHER = 64
"""Instances of a call, the most that there may be."""

ROUNDS = 2
_EVENTS_PER_USER = 10
_ENDPOINT_SHARE = 0.2
"""Of the users of a batch that the endpoint is asked for in a round: its rate is the same for more of them."""


def measure(users: int, items: int) -> list[Row]:
    """Write, publish and serve a release; compute its users' lists in turn.

    Args:
        users: users of the release.
        items: its items.
    """
    cores = len(os.sched_getaffinity(0))
    rates: dict[str, list[tuple[float, float]]] = {"batch": [], "one": [], "many": []}
    with tempfile.TemporaryDirectory(prefix="winnow-batch-") as folder:
        home, port = Path(folder), Ports.free().redis
        release = write(home, CatalogSize(items=items, users=users, events=users * _EVENTS_PER_USER))
        repository = home / "model_repository" / release.folder.name
        with redis.server(home, port, home / "redis.log"):
            url = redis.url(port)
            publish(release.folder, url, show_progress=False)
            ids: list[str] = release.array("user_ids").tolist()
            asked = ids[: max(1000, int(users * _ENDPOINT_SHARE))]
            for number in range(ROUNDS):
                options = BatchOptions(release, repository, url, str(home / f"batch-{number}"), k=K)
                done = run(options)
                rates["batch"].append((done.per_second, done.degraded / users))
                with _endpoints(release, repository, url, cores) as ports:
                    rates["one"].append(_rate(ports, asked, 1))
                    rates["many"].append(_rate(ports, asked, TOGETHER))
    rows = [row("users", users, ""), row("items", items, ""), row("processes", cores, "")]
    ways = {
        "batch": "batch, start included",
        "one": f"endpoint, {CONNECTIONS} connections, one user per call",
        "many": f"endpoint, {CONNECTIONS} connections, {TOGETHER} users per call",
    }
    for number in range(ROUNDS):
        for way, what in ways.items():
            rate, degraded = rates[way][number]
            rows.append(row(f"round {number + 1}: {what}", rate, "users/s"))
            if degraded:
                rows.append(row(f"round {number + 1}: {what}: degraded answers", degraded, "share"))
    best = max(rate * (1 - degraded) for way in ("one", "many") for rate, degraded in rates[way])
    rows.append(
        row("slowest batch beside the fastest endpoint, complete answers", min(rates["batch"])[0] / best, "x", ">= 1")
    )
    return rows


@contextmanager
def _endpoints(release: Release, repository: Path, url: str, count: int) -> Iterator[list[int]]:
    """HTTP ports of ``count`` transformers that compute the models themselves and hold no answers."""
    with ExitStack() as exits:
        flags = ("--reuse-seconds=0", "--max-in-flight=1024")
        started = [
            exits.enter_context(transformer(release, Ports.free(), url, *flags, repository=repository))
            for _ in range(count)
        ]
        yield [port for _, port in started]


def _rate(ports: Sequence[int], user_ids: Sequence[str], together: int) -> tuple[float, float]:
    """Users per second over connections that are spread over the transformers, and the share of degraded answers."""
    calls = [user_ids[start : start + together] for start in range(0, len(user_ids), together)]

    def ask(connection: int) -> int:
        degraded = 0
        with protocols.http(ports[connection % len(ports)]) as endpoint:
            for of_call in calls[connection::CONNECTIONS]:
                fields = {"k": K, "deadline_ms": MAX_DEADLINE_MS}
                answers = protocols.over_http_v1(endpoint, [{"user_id": user_id, **fields} for user_id in of_call])
                degraded += sum(bool(answer["degraded"]) for answer in answers)
        return degraded

    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        degraded = sum(threads.map(ask, range(CONNECTIONS)))
    return len(user_ids) / (time.perf_counter() - started), degraded / len(user_ids)

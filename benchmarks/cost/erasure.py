"""An erasure beside a stream of 1,000,000 events: its seconds, and how long Redis keeps others waiting meanwhile."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.common.rows import Row, row
from winnow.local import redis
from winnow.ports import Ports
from winnow.store.bulk import Command, send
from winnow.store.connection import Client, connect
from winnow.store.keys import EVENTS, Keys
from winnow.users.erase import erase

EVENTS_IN_STREAM = 1_000_000
USERS = 100_000
_AT_ONCE = 5000
_WATCHED_S = 3.0


def measure() -> list[Row]:
    """Fill a Redis of its own, and erase a user and an unknown one while another connection reads."""
    with tempfile.TemporaryDirectory(prefix="winnow-erasure-") as folder:
        port = Ports.free().redis
        with redis.server(Path(folder), port, Path(folder) / "redis.log"), connect(redis.url(port)) as client:
            _fill(client)
            with _reads(redis.url(port)) as alone:
                time.sleep(_WATCHED_S)
            client.config_set("slowlog-log-slower-than", 200)
            client.config_set("slowlog-max-len", 10_000)
            with _reads(redis.url(port)) as during:
                used, started = _processor_seconds(client), time.perf_counter()
                done = erase(client, "user-7")
                seconds, used = time.perf_counter() - started, _processor_seconds(client) - used
            steps = [entry["duration"] / 1000 for entry in client.slowlog_get(10_000)]
            memory = int(client.info("memory")["used_memory"]) / 2**20
    of_user = EVENTS_IN_STREAM // USERS
    return [
        row("keys of other users in Redis", done.searched["keys"], ""),
        row("entries of the event stream", done.searched[EVENTS], ""),
        row("memory of Redis", memory, "MiB"),
        row("erase a user, both searches", seconds, "s", "<= 60"),
        row("Redis's processor time of it", used, "s"),
        row("steps that took Redis more than 0.2 ms", len(steps), ""),
        row("a step, p99 of these", float(np.percentile(steps, 99)) if steps else 0.2, "ms", "<= 10"),
        row("entries of the user that were removed", done.removed[EVENTS], "", f">= {of_user}"),
        row("a read beside nothing, median", float(np.median(alone)), "ms"),
        row("a read beside nothing, p99", float(np.percentile(alone, 99)), "ms"),
        row("a read beside the erasure, median", float(np.median(during)), "ms"),
        row("a read beside the erasure, p99", float(np.percentile(during, 99)), "ms"),
        row("a read beside the erasure, longest", max(during), "ms"),
    ]


def _processor_seconds(client: Client) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


def _fill(client: Client) -> None:
    keys = Keys(1)
    makers: list[tuple[int, Callable[[int], Command]]] = [
        (USERS, lambda n: ("SET", keys.user_row(f"user-{n}"), b"x" * 40)),
        (EVENTS_IN_STREAM, _event),
    ]
    for count, make in makers:
        for start in range(0, count, _AT_ONCE):
            send(client, [make(n) for n in range(start, min(start + _AT_ONCE, count))])


def _event(number: int) -> Command:
    fields = ("user_id", f"user-{number % USERS}", "item_id", f"item-{number % 997}", "event", "view")
    return ("XADD", EVENTS, "*", *fields, "timestamp", str(10**12 + number))


@contextmanager
def _reads(url: str) -> Iterator[list[float]]:
    """Read one key again and again inside the block; yields the milliseconds of each read."""
    taken: list[float] = []
    stop = threading.Event()

    def read() -> None:
        with connect(url) as client:
            while not stop.is_set():
                started = time.perf_counter()
                client.get("some-key")
                taken.append(1000 * (time.perf_counter() - started))
                time.sleep(0.001)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()

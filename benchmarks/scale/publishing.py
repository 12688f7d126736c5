"""Publishing a million users: time, bytes, a publication that is killed, and a second release beside the first.

A release folder of generated logs is published by ``python -m winnow.store`` to a Redis of its own, without
persistence: the figures are those of the publication, not of a disk.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import redis

from benchmarks.common.rows import Row, row
from benchmarks.scale.subjects import user_logs
from winnow.errors import WinnowError
from winnow.local import redis as local_redis
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.keys import Keys
from winnow.store.shared_state import SLICE, state_of

CHANGED = 0.1
"""Share of the users with new events in the second release."""


class _Before(NamedTuple):
    """Processor seconds for a million users, and bytes of memory per user."""

    processor: float
    bytes: float


BEFORE = _Before(176.3, 1239.0)
"""Measured with version 0.2.0 (commit 3699de3), which wrote a state for every release: on the same machine with the
same folder."""

GIANT = 500_000_000
_SAMPLE = 20_000


def measure(users: int = 1_000_000) -> list[Row]:
    """Publish, kill and resume, publish a second release; figures per user, and computed ones for 500,000,000."""
    with tempfile.TemporaryDirectory(prefix="winnow-publishing-") as scratch:
        folder = Path(scratch)
        first = user_logs.write(folder, 1, users)
        second = user_logs.write(folder, 2, users, more=CHANGED)
        with _redis(folder / "resumed") as client:
            lost = _killed(client, first)
            resumed = _digest(client)
        with _redis(folder / "whole") as client:
            empty = _used(client)
            whole = _publish(client, first)
            one = _used(client) - empty
            same = _digest(client) == resumed
            parts = _parts(client, first)
            again = _publish(client, second)
            both = _used(client) - empty
    million = users / 1_000_000
    return [
        row(f"publishing {users:,} users", whole.seconds, "s"),
        row("the same, processor time of the publication", whole.processor, "s"),
        row("of the processor time before", whole.processor / (BEFORE.processor * million), "x", "<= 0.5"),
        row("peak memory of the publication, mapped files included", whole.peak_mb, "MB"),
        row("memory in Redis per user", one / users, "bytes"),
        row("the same, of the memory before", one / users / BEFORE.bytes, "x", "<= 1"),
        *(row(f"of it {part}, key included", size, "bytes") for part, size in parts.items()),
        row(f"killed at half, resumed: users written twice, of {users:,}", lost, "users", f"<= {SLICE}"),
        row("killed and resumed: content equals an uninterrupted publication's", float(same), "", ">= 1"),
        row(f"the next release, {CHANGED:.0%} of the users changed", again.seconds, "s"),
        row("the same, processor time of the publication", again.processor, "s"),
        row("two releases side by side, of the memory of one", both / one, "x", "<= 1.3"),
        row(f"computed: memory for {GIANT:,} users", one / users * GIANT / 1e9, "GB"),
        row("computed: the same with two releases", both / users * GIANT / 1e9, "GB"),
        row("computed: with a state for every release, two releases", 2 * BEFORE.bytes * GIANT / 1e9, "GB"),
        row(f"computed: processor hours for {GIANT:,} users", whole.processor / users * GIANT / 3600, "h"),
    ]


class _Run(NamedTuple):
    """Wall-clock and processor seconds of a publication, and its peak memory."""

    seconds: float
    processor: float
    peak_mb: float


@contextmanager
def _redis(folder: Path) -> Iterator["redis.Redis"]:
    """A Redis of its own."""
    folder.mkdir()
    port = Ports.free().redis
    server = local_redis.server(folder, port, folder / "redis.log", appendonly="no")
    with server, closing(redis.Redis.from_url(local_redis.url(port), socket_timeout=600)) as client:
        yield client


def _start(client: "redis.Redis", release: Release) -> "subprocess.Popen[bytes]":
    port = client.connection_pool.connection_kwargs["port"]
    environment = os.environ | {"REDIS_URL": local_redis.url(port)}
    command = [sys.executable, "-m", "winnow.store", f"--release-dir={release.folder}"]
    return subprocess.Popen(command, env=environment)  # noqa: S603


def _publish(client: "redis.Redis", release: Release) -> _Run:
    started = time.perf_counter()
    process = _start(client, release)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise WinnowError(f"the publication of release {release.manifest.number} failed: see its output above")
    return _Run(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _killed(client: "redis.Redis", release: Release) -> int:
    """Kill a publication when half of the users are written, and publish again; returns the users written twice."""
    keys, users = Keys(release.manifest.number), len(release.array("user_ids"))
    process = _start(client, release)
    while int(client.hget(keys.publishing, "users") or 0) < users / 2:
        if process.poll() is not None:
            raise WinnowError("the publication ended before it was killed: use more users")
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    remembered = int(client.hget(keys.publishing, "users") or 0)
    ids = release.array("user_ids")[remembered : remembered + 2 * SLICE].tolist()
    pipe = client.pipeline(transaction=False)
    for user_id in ids:
        pipe.exists(keys.user_row(user_id))
    written: int = sum(pipe.execute())
    _publish(client, release)
    return written


def _digest(client: "redis.Redis") -> Any:
    """A digest of all keys and values."""
    return client.execute_command("DEBUG", "DIGEST")  # type: ignore[no-untyped-call]


def _used(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])


def _parts(client: "redis.Redis", release: Release) -> dict[str, float]:
    """Bytes per user of each part, keys included, over the first users."""
    keys, state = Keys(release.manifest.number), state_of(release)
    parts = {"row": keys.user_row, "history": state.history, "seen": state.seen, "categories": state.categories}
    users = release.array("user_ids")[:_SAMPLE].tolist()
    pipe = client.pipeline(transaction=False)
    for part in parts.values():
        for user_id in users:
            pipe.memory_usage(part(user_id))
    sizes = np.reshape([size or 0 for size in pipe.execute()], (len(parts), len(users)))
    return dict(zip(parts, sizes.mean(axis=1).tolist(), strict=True))

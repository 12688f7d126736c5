"""Two sidecars under eight writers, one of them killed in the middle: is anything lost, denied or counted twice?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.waiting import until
from benchmarks.writer import ITEMS
from winnow import release as releases
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.errors import WinnowError
from winnow.local.processes import http_ok
from winnow.ports import Ports
from winnow.release import Release
from winnow.schema import NUMERIC_FEATURES, Feature, FeatureSchema
from winnow.store.connection import connect
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import publish
from winnow.store.trending import increment

USERS, LOGGED = 20, 1200
WRITERS = 8

SCHEMA = FeatureSchema(
    item=(
        Feature(name="category", kind="categorical", cardinality=5),
        *(Feature(name=name, kind="numeric") for name in NUMERIC_FEATURES),
    ),
    user=(),
    events=("view", "buy"),
    event_weights=(1.0, 4.0),
    conversions=("buy",),
)
CATEGORIES = ["", "books", "games", "music", "toys"]


@dataclass(frozen=True)
class Survived:
    """What was found after one of two sidecars was killed.

    Attributes:
        events: events written.
        taken_over: events that the killed sidecar held.
        false_negatives: items that a user met and the filter denies.
        lost: events that a history lacks.
        twice: events that a history has more than once.
        miscounted: items whose decayed count is not the sum of their events.
        seconds: from the first event written until everything was applied.
    """

    events: int
    taken_over: int
    false_negatives: int
    lost: int
    twice: int
    miscounted: int
    seconds: float


def tiny_release(folder: Path, number: int) -> Release:
    """A release of random arrays: as much as publishing and the sidecar read of one."""
    rng = np.random.default_rng(number)
    rows = np.zeros(ITEMS + 1, SCHEMA.item_dtype)
    rows["index"] = np.arange(ITEMS + 1)
    rows["categorical"][1:, 0] = rng.integers(1, 5, ITEMS)
    user_rows = np.zeros(USERS, SCHEMA.user_dtype)
    user_rows["index"] = np.arange(USERS)
    user = np.sort(rng.integers(0, USERS, LOGGED))
    return releases.write(
        folder / str(number),
        {
            "item_ids": np.array(["", *(f"item-{index}" for index in range(1, ITEMS + 1))]),
            "user_ids": np.array([f"user-{index}" for index in range(USERS)]),
            "item_rows": rows,
            "user_rows": user_rows,
            "offsets": np.searchsorted(user, np.arange(USERS + 1)).astype(np.int64),
            "item": rng.integers(1, ITEMS + 1, LOGGED).astype(np.int32),
            "event": rng.integers(1, 3, LOGGED).astype(np.int32),
            "timestamp": 1_700_000_000_000 + np.arange(LOGGED, dtype=np.int64) * 60_000,
            "popular": (rng.permutation(ITEMS)[:100] + 1).astype(np.int32),
        },
        {"schema.json": SCHEMA.model_dump_json(), "vocabularies.json": json.dumps({"category": CATEGORIES})},
        number=number,
        dataset="tiny",
        source=releases.BuildInputs(),
        holdout="none",
        as_of=1_700_000_000_000 + LOGGED * 60_000,
        history_length=20,
        candidates={},
        schema_digest=SCHEMA.digest,
        models={},
        parity={},
    )


def survive(folder: Path, redis_url: str, number: int, each: int) -> Survived:
    """Publish a release of its own, write ``each`` events from every writer, kill a sidecar, and look at what is there.

    Args:
        folder: takes the release and the sidecars' logs.
        redis_url: an empty event stream, and nothing under ``number``.
        number: the release's.
        each: events per writer.

    Raises:
        WinnowError: the work is not done within two minutes.
    """
    release = tiny_release(folder, number)
    publish(release.folder, redis_url, show_progress=False)
    with connect(redis_url) as client:
        before = _counts(client, number)
        sidecars = [start_sidecar(release, redis_url, folder, Ports.free().sidecar) for _ in range(2)]
        try:
            started = time.perf_counter()
            arguments = [sys.executable, "-m", "benchmarks.writer", redis_url]
            writers = [subprocess.Popen([*arguments, str(writer), str(each)]) for writer in range(WRITERS)]  # noqa: S603
            until(lambda: client.xlen(EVENTS) > WRITERS * each // 3)
            taken_over = _kill_at_work(client, number, sidecars[0])
            if any(writer.wait() for writer in writers):
                raise WinnowError("a writer failed: see its output above")
            until(lambda: _all_applied(client, number))
            seconds = time.perf_counter() - started
        finally:
            for sidecar in sidecars:
                sidecar.terminate()
                sidecar.wait()
        return _judge(client, release, before, taken_over, seconds)


def start_sidecar(release: Release, redis_url: str, folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """A sidecar as a process of its own, once it is ready."""
    command = [sys.executable, "-m", "bloom_sidecar", f"--release-dir={release.folder}", "--health-host=127.0.0.1"]
    environment = {**os.environ, "REDIS_URL": redis_url}
    with (folder / f"sidecar-{port}.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--health-port={port}", *options], env=environment, stderr=log)  # noqa: S603
    until(lambda: http_ok(port, "/ready"))
    return process


def _kill_at_work(client: Any, number: int, sidecar: "subprocess.Popen[bytes]") -> int:
    """Kill a sidecar that holds entries it has not acknowledged; returns how many."""
    held = 0
    while not held:
        sidecar.send_signal(signal.SIGSTOP)
        members: list[dict[str, Any]] = client.xinfo_consumers(EVENTS, Keys(number).group)
        held = next((m["pending"] for m in members if m["name"].endswith(f"-{sidecar.pid}".encode())), 0)
        if not held:
            sidecar.send_signal(signal.SIGCONT)
            time.sleep(0.005)
    sidecar.kill()
    return held


def _all_applied(client: Any, number: int) -> bool:
    group = next(g for g in client.xinfo_groups(EVENTS) if g["name"] == Keys(number).group.encode())
    last = client.xinfo_stream(EVENTS)["last-generated-id"]
    return bool(group["last-delivered-id"] == last and not group["pending"])


def _judge(client: Any, release: Release, before: dict[int, float], taken_over: int, seconds: float) -> Survived:
    keys, created = Keys(release.manifest.number), int(release.manifest.created_at.timestamp() * 1000)
    met: dict[str, set[str]] = defaultdict(set)
    written: dict[str, Counter[bytes]] = defaultdict(Counter)
    counts = defaultdict(float, before)
    stream = client.xrange(EVENTS)
    for stream_id, fields in stream:
        user_id, item_id, event = (fields[name].decode() for name in (b"user_id", b"item_id", b"event"))
        code = SCHEMA.events.index(event) + 1
        met[user_id].add(item_id)
        written[user_id][b"%s|%d|%s" % (fields[b"timestamp"], code, item_id.encode())] += 1
        at_ms = int(stream_id.split(b"-")[0])
        counts[int(item_id.split("-")[1])] += increment(SCHEMA.event_weights[code - 1], at_ms, created)
    histories = {user_id: Counter(client.lrange(keys.history(user_id), 0, -1)) for user_id in met}
    filters = {user_id: SeenFilter.from_bytes(client.get(keys.seen(user_id)) or b"") for user_id in met}
    found = _counts(client, release.manifest.number)
    return Survived(
        events=len(stream),
        taken_over=taken_over,
        false_negatives=sum(item_hash(item) not in filters[user] for user, items in met.items() for item in items),
        lost=sum((written[user] - histories[user]).total() for user in met),
        twice=sum((histories[user] - written[user]).total() for user in met),
        miscounted=sum(not np.isclose(found.get(item, 0.0), count, rtol=1e-9) for item, count in counts.items()),
        seconds=seconds,
    )


def _counts(client: Any, number: int) -> dict[int, float]:
    return {int(item): score for item, score in client.zrange(Keys(number).counts, 0, -1, withscores=True)}

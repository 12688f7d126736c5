"""Two sidecars under eight event producers, one of them killed: events lost, denied by a filter, or counted twice."""

import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.paths import ROOT
from tests.support.sidecar.process import SCHEMA, small_release, start_sidecar
from tests.support.until import until
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.errors import WinnowError
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.connection import connect
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import publish
from winnow.store.shared_state import state_of
from winnow.store.trending import increment

PRODUCERS = 8


@dataclass(frozen=True)
class Crash:
    """The state of Redis after one of two sidecars was killed.

    Attributes:
        events: events produced.
        taken_over: events that the killed sidecar had read and not acknowledged.
        false_negatives: (user, item) pairs with an event that the seen filter denies.
        lost: events missing from a history.
        twice: events more than once in a history.
        miscounted: items whose decayed count is not the sum of their events.
        seconds: from the first event produced until every event was applied.
    """

    events: int
    taken_over: int
    false_negatives: int
    lost: int
    twice: int
    miscounted: int
    seconds: float


def crash_a_sidecar(folder: Path, redis_url: str, number: int, each: int) -> Crash:
    """Publish a release, produce events, kill a sidecar that holds some of them, and compare Redis with the events.

    Args:
        folder: takes the release and the sidecars' logs.
        redis_url: a Redis with an empty event stream and no release ``number``.
        number: of the release.
        each: events per producer.

    Raises:
        WinnowError: the events are not applied within two minutes.
    """
    release = small_release(folder, number)
    publish(release.folder, redis_url, show_progress=False)
    with connect(redis_url) as client:
        before = _counts(client, number)
        sidecars = [start_sidecar(release, redis_url, folder, Ports.free().sidecar) for _ in range(2)]
        try:
            started = time.perf_counter()
            command = [sys.executable, "-m", "tests.support.sidecar.event_producer", redis_url]
            producers = [
                subprocess.Popen([*command, str(producer), str(each)], cwd=ROOT) for producer in range(PRODUCERS)
            ]
            until(lambda: client.xlen(EVENTS) > PRODUCERS * each // 3)
            taken_over = _kill_at_work(client, number, sidecars[0])
            if any(producer.wait() for producer in producers):
                raise WinnowError("an event producer failed: see its output above")
            until(lambda: _all_applied(client, number))
            seconds = time.perf_counter() - started
        finally:
            for sidecar in sidecars:
                sidecar.terminate()
                sidecar.wait()
        return _compare(client, release, before, taken_over, seconds)


def _kill_at_work(client: Any, number: int, sidecar: "subprocess.Popen[bytes]") -> int:
    """Kill a sidecar while it holds unacknowledged entries; returns their number."""
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


def _compare(client: Any, release: Release, before: dict[int, float], taken_over: int, seconds: float) -> Crash:
    state, created = state_of(release), int(release.manifest.created_at.timestamp() * 1000)
    seen: dict[str, set[str]] = defaultdict(set)
    written: dict[str, Counter[bytes]] = defaultdict(Counter)
    counts = defaultdict(float, before)
    stream = client.xrange(EVENTS)
    for stream_id, fields in stream:
        user_id, item_id, event = (fields[name].decode() for name in (b"user_id", b"item_id", b"event"))
        code = SCHEMA.events.index(event) + 1
        seen[user_id].add(item_id)
        written[user_id][b"%s|%d|%s" % (fields[b"timestamp"], code, item_id.encode())] += 1
        at_ms = int(stream_id.split(b"-")[0])
        counts[int(item_id.split("-")[1])] += increment(SCHEMA.event_values[code - 1], at_ms, created)
    histories = {user_id: Counter(client.lrange(state.history(user_id), 0, -1)) for user_id in seen}
    filters = {user_id: SeenFilter.from_bytes(client.get(state.seen(user_id)) or b"") for user_id in seen}
    found = _counts(client, release.manifest.number)
    return Crash(
        events=len(stream),
        taken_over=taken_over,
        false_negatives=sum(item_hash(item) not in filters[user] for user, items in seen.items() for item in items),
        lost=sum((written[user] - histories[user]).total() for user in seen),
        twice=sum((histories[user] - written[user]).total() for user in seen),
        miscounted=sum(not np.isclose(found.get(item, 0.0), count, rtol=1e-9) for item, count in counts.items()),
        seconds=seconds,
    )


def _counts(client: Any, number: int) -> dict[int, float]:
    return {int(item): score for item, score in client.zrange(Keys(number).counts, 0, -1, withscores=True)}

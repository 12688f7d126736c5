"""Answers under load during faults: Redis killed, slowed or frozen, the ranker unloaded, Triton or the sidecar killed.

The faults are real: processes get SIGKILL, Redis restarts on its port with its append-only file, and Triton unloads the
model. The targets are those of docs/decisions/0014.
"""

import http.client
import json
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from benchmarks.common.load import Answers, Load
from benchmarks.common.load_plan import Plan
from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, stack
from benchmarks.faults.slow_proxy import slow_proxy
from bloom_sidecar.group import Group
from tests.support.transformer_process import transformer
from tests.support.until import until
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.errors import WinnowError
from winnow.local.processes import Process
from winnow.local.redis import url
from winnow.local.stack import Stack
from winnow.release import Release
from winnow.store.keys import Keys
from winnow.store.shared_state import state_of

RATE = 40.0
"""Requests a second: far below overload."""

BEFORE_S, AWAY_S, AFTER_S = 3.0, 8.0, 6.0
DEADLINE_MS = 200
SLOWED_S = 0.5
EVENTS = 400
USERS = 200
IN_A_ROW = 20
"""Full service is back after this many complete answers in a row (half a second)."""

_SEEN_LATE_S = 0.25
"""Requests sent this shortly before a fault may still be answered by the part, but late."""


def measure() -> list[Row]:
    """Inject one fault after another.

    Raises:
        WinnowError: there is no release, or a part does not recover.
    """
    served = newest()
    users = active_users(served, USERS)
    with stack(served) as running:
        ports = running.ports
        _load(running, users, BEFORE_S)
        rows = _redis_killed(running, users)
        with (
            slow_proxy(ports.redis) as proxy,
            transformer(served, ports, url(proxy.port), "--drain-seconds=0", "--reuse-seconds=0") as (_, port),
        ):
            rows += _redis_slowed(port, users, lambda delay_s: setattr(proxy, "delay_s", delay_s))
        rows += _redis_frozen(running, users)
        rows += _sidecar_killed(running, served, users)
        rows += _ranker_unloaded(running, users)
        rows += _triton_killed(running, users)
    return rows


def kill(process: Process) -> None:
    """Send SIGKILL to a process group, and remove the shared memory that it leaves."""
    memory = _shared_memory(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.stop()
    for path in memory:
        with suppress(FileNotFoundError):
            path.unlink()


def _redis_killed(running: Stack, users: Sequence[str]) -> list[Row]:
    part = running.part("redis")
    seconds = BEFORE_S + AWAY_S + AFTER_S
    with Load(Plan([running.ports.http], users, seconds, RATE)) as load:
        time.sleep(BEFORE_S)
        killed = time.time()
        kill(part)
        time.sleep(AWAY_S)
        restarted = time.time()
        part.start()
        part.wait_until_ready()
        back = time.time()
        answers = load.answers()
    away = answers.between(killed + _SEEN_LATE_S, restarted)
    after = answers.between(back, np.inf)
    return [
        row("Redis killed: answered 200", _share(answers.ok), "share", ">= 0.999"),
        row("Redis killed: refused as too many", _share(answers.status == 503), "share"),
        row("Redis killed: marked degraded while away", _share(away.degraded), "share", ">= 1"),
        row("Redis killed: p99 while away", away.percentile(99), "ms", f"<= {DEADLINE_MS + 20}"),
        row("Redis killed: fewest items of an answer", float(answers.items[answers.ok].min()), "items", ">= 1"),
        row("Redis back: full service after", _full_after(after, back), "s", "<= 2"),
    ]


def _redis_slowed(port: int, users: Sequence[str], slow: Callable[[float], None]) -> list[Row]:
    with Load(Plan([port], users, BEFORE_S + AWAY_S + AFTER_S, RATE)) as load:
        time.sleep(BEFORE_S)
        slow(SLOWED_S)
        slowed = time.time()
        time.sleep(AWAY_S)
        slow(0.0)
        back = time.time()
        answers = load.answers()
    during, after = answers.between(slowed, back), answers.between(back, np.inf)
    return [
        row("Redis slowed by 500 ms: latest / deadline", float(during.ms.max() / DEADLINE_MS), "x", "<= 1.1"),
        row("Redis slowed by 500 ms: answered 200", _share(during.ok), "share", ">= 0.999"),
        row("Redis fast again: full service after", _full_after(after, back), "s"),
    ]


def _redis_frozen(running: Stack, users: Sequence[str]) -> list[Row]:
    pid = running.part("redis").pid
    with Load(Plan([running.ports.http], users, BEFORE_S + AWAY_S + AFTER_S, RATE)) as load:
        time.sleep(BEFORE_S)
        os.kill(pid, signal.SIGSTOP)
        frozen = time.time()
        time.sleep(AWAY_S)
        os.kill(pid, signal.SIGCONT)
        back = time.time()
        answers = load.answers()
    during, after = answers.between(frozen, back), answers.between(back, np.inf)
    return [
        row("Redis frozen: latest / deadline", float(during.ms.max() / DEADLINE_MS), "x", "<= 1.1"),
        row("Redis frozen: answered 200", _share(during.ok), "share", ">= 0.999"),
        row("Redis running again: full service after", _full_after(after, back), "s"),
    ]


def _sidecar_killed(running: Stack, served: Release, users: Sequence[str]) -> list[Row]:
    part, keys = running.part("bloom sidecar"), Keys(served.manifest.number)
    items = served.strings("item_ids").tolist()
    events = [(users[n % len(users)], items[1 + n % (len(items) - 1)]) for n in range(EVENTS)]
    with redis.Redis.from_url(url(running.ports.redis)) as client:
        group = Group(client, keys.group, "a visitor")
        until(lambda: group.lag()[:2] == (0, 0))
        with Load(Plan([running.ports.http], users, AWAY_S, RATE)) as load:
            kill(part)
            _send(running.ports.http, events, served.schema.events[0])
            lag = group.lag()
            answers = load.answers()
        started = time.perf_counter()
        part.start()
        part.wait_until_ready()
        until(lambda: group.lag()[:2] == (0, 0))
        seconds = time.perf_counter() - started
        packed = {user: client.get(state_of(served).seen(user)) or b"" for user in users}
    filters = {user: SeenFilter.from_bytes(content) for user, content in packed.items() if content}
    lost = sum(user not in filters or item_hash(item) not in filters[user] for user, item in events)
    return [
        row("sidecar killed: answered in full", _share(answers.full), "share", ">= 0.999"),
        row("sidecar killed: events behind, of those sent", lag.behind / len(events), "share", ">= 1"),
        row("sidecar killed: restarted and caught up after", seconds, "s"),
        row("sidecar killed: events lost", float(lost), "events", "<= 0"),
    ]


def _ranker_unloaded(running: Stack, users: Sequence[str]) -> list[Row]:
    def repository(verb: str) -> None:
        status, _ = _post(running.ports.triton_http, f"/v2/repository/models/ranker/{verb}", {})
        if status != 200:
            raise WinnowError(f"Triton does not {verb} the ranker: status {status}")

    with Load(Plan([running.ports.http], users, AWAY_S, RATE)) as load:
        time.sleep(1.0)
        repository("unload")
        gone = time.time()
        kept = [_order_is_retrievals(running.ports.http, user) for user in users[:50]]
        answers = load.answers()
        checked = time.time()
    repository("load")
    back = time.perf_counter()
    until(lambda: _predict(running.ports.http, users[0])["degraded"] == [])
    away = answers.between(gone + _SEEN_LATE_S, checked)
    return [
        row("ranker unloaded: answered 200", _share(answers.ok), "share", ">= 0.999"),
        row("ranker unloaded: marked degraded", _share(away.degraded), "share", ">= 1"),
        row("ranker unloaded: in retrieval order", float(np.mean(kept)), "share", ">= 1"),
        row("ranker unloaded: p99", away.percentile(99), "ms", f"<= {DEADLINE_MS + 20}"),
        row("ranker back: full service after", time.perf_counter() - back, "s"),
    ]


def _triton_killed(running: Stack, users: Sequence[str]) -> list[Row]:
    with Load(Plan([running.ports.http], users, BEFORE_S + AWAY_S, RATE)) as load:
        time.sleep(BEFORE_S)
        killed = time.time()
        kill(running.part("triton"))
        answers = load.answers()
    away = answers.between(killed + _SEEN_LATE_S, np.inf)
    return [
        row("Triton killed: answered 200", _share(answers.ok), "share", ">= 0.999"),
        row("Triton killed: marked degraded", _share(away.degraded), "share", ">= 1"),
        row("Triton killed: fewest items of an answer", float(answers.items[answers.ok].min()), "items", ">= 1"),
        row("Triton killed: p99", away.percentile(99), "ms", f"<= {DEADLINE_MS + 20}"),
    ]


def _load(running: Stack, users: Sequence[str], seconds: float) -> Answers:
    with Load(Plan([running.ports.http], users, seconds, RATE)) as load:
        return load.answers()


def _order_is_retrievals(port: int, user: str) -> bool:
    """Whether an answer without diversity has the order of the sources."""
    answer = _predict(port, user, diversity=0.0, debug=True)
    named = [found["item_id"] for found in answer["trace"]["candidates"] if "removed_by" not in found]
    shown = [item["item_id"] for item in answer["items"]]
    return bool(shown) and shown == named[: len(shown)]


def _predict(port: int, user: str, **fields: object) -> dict[str, Any]:
    status, body = _post(port, "/v1/models/recommender:predict", {"instances": [{"user_id": user, "k": 10, **fields}]})
    if status != 200:
        raise WinnowError(f"the endpoint refused: {body}")
    answer: dict[str, Any] = body["predictions"][0]
    return answer


def _send(port: int, events: Sequence[tuple[str, str]], event: str) -> None:
    for start in range(0, len(events), 50):
        instances = [{"user_id": user, "item_id": item, "event": event} for user, item in events[start : start + 50]]
        status, body = _post(port, "/v1/models/events:predict", {"instances": instances})
        if status != 200:
            raise WinnowError(f"events were refused: {body}")


def _post(port: int, path: str, content: object) -> tuple[int, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None


def _full_after(answers: Answers, back: float) -> float:
    """Seconds from ``back`` until the first of :data:`IN_A_ROW` complete answers; infinite without them."""
    full = answers.full
    rows = (first for first in range(len(full) - IN_A_ROW + 1) if full[first : first + IN_A_ROW].all())
    first = next(rows, None)
    return float("inf") if first is None else float(answers.due[first] - back)


def _share(holds: NDArray[np.bool_]) -> float:
    return float(holds.mean()) if len(holds) else 0.0


def _shared_memory(pid: int) -> list[Path]:
    """Shared-memory files that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [Path(name) for name in sorted(set(re.findall(r"/dev/shm/\S+", maps)))]  # noqa: S108

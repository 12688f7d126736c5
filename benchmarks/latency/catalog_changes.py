"""How soon a change of an item is right in two transformers, under load; many new items; what changes cost a request.

A trial changes an item that is recommended to a user (takes it down, reprices it, describes it anew, deletes it) by one
transformer, and asks both after the acknowledgement until both answer with the item as it is now. An answer that still
has a former state is stale.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, stack
from benchmarks.latency.event_freshness import LOAD_PER_S, load
from tests.support.transformer_process import transformer
from winnow import protocols
from winnow.cli.catalog.sending import chunks, send
from winnow.errors import WinnowError
from winnow.local.redis import url
from winnow.release import Release
from winnow.request import Answer

TRIALS = 500
KINDS = ("taken down", "repriced", "described anew", "deleted")
NEW = 20_000
CHANGED = 1000
REQUESTS = 400
PATIENCE_S = 5.0

Holds = Callable[[httpx.Client], bool]


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and change its items.

    Raises:
        WinnowError: there is no release, or a change was not acknowledged.
    """
    served = newest()
    users = active_users(served, 200)
    with (
        stack(served, reuse_s=None) as running,
        transformer(served, running.ports, url(running.ports.redis)) as (_, second),
        protocols.http(running.ports.http) as one,
        protocols.http(second) as other,
    ):
        plain = _plain(one, users)
        rows = _trials(served, users, one, other, running.ports.http)
        rows += _many_changed(served, users, one, plain)
        rows += _many_new(one, other, users)
    return rows


def _trials(served: Release, users: list[str], one: httpx.Client, other: httpx.Client, port: int) -> list[Row]:
    waited: dict[str, list[float]] = {kind: [] for kind in KINDS}
    taken: list[float] = []
    stale = late = 0
    rng = np.random.default_rng(0)
    with load(port, users, LOAD_PER_S) as others:
        for trial in range(TRIALS):
            kind, user = KINDS[trial % len(KINDS)], users[int(rng.integers(len(users)))]
            here = one if trial % 2 else other
            candidates = [item["item_id"] for item in _answer(one, {"user_id": user, "k": 20})["items"]]
            item_id = candidates[int(rng.integers(len(candidates)))]
            change, holds = _change(served, kind, user, item_id, trial)
            sent = time.perf_counter()
            protocols.add_items(here, [change])
            acknowledged = time.perf_counter()
            taken.append(acknowledged - sent)
            slowest = 0.0
            for endpoint in (other, one) if here is one else (one, other):
                while not holds(endpoint):
                    stale += 1
                    if time.perf_counter() - acknowledged > PATIENCE_S:
                        late += 1
                        break
                slowest = max(slowest, time.perf_counter() - acknowledged)
            waited[kind].append(slowest)
            if kind == "taken down":
                protocols.add_items(here, [{"item_id": item_id, "action": "enable"}])
        asked = len(others)
    rows = [
        row(
            f"{kind}: acknowledged to a right answer of both processes, slowest of {len(seconds)}",
            max(seconds),
            "s",
            "<= 1",
        )
        for kind, seconds in waited.items()
    ]
    everything = [second for seconds in waited.values() for second in seconds]
    return [
        *rows,
        row("changes: acknowledged to right in both processes, median", float(np.median(everything)), "s"),
        row(f"changes: trials that took longer than {PATIENCE_S:.0f} s", late, f"of {TRIALS}", "<= 0"),
        row("changes: answers with a former state", stale, f"of {TRIALS} trials"),
        row("changes: acknowledgement, p50", 1000 * float(np.median(taken)), "ms"),
        row("changes: acknowledgement, p99", 1000 * float(np.percentile(taken, 99)), "ms"),
        row("changes: background requests of other users", asked, ""),
    ]


def _change(served: Release, kind: str, user: str, item_id: str, trial: int) -> tuple[dict[str, Any], Holds]:
    """A change of a kind, and whether an endpoint has it."""
    request = {"user_id": user, "k": 100, "deadline_ms": protocols.PATIENCE_MS}
    if kind in ("taken down", "deleted"):
        action = "disable" if kind == "taken down" else "delete"
        return {"item_id": item_id, "action": action}, lambda endpoint: item_id not in _ids(endpoint, request)
    if kind == "repriced":
        price = float(1 + trial)
        feature = next(each for each in served.schema.item if each.name == "price")
        expected = (math.log1p(price) - feature.mean) / feature.scale

        def repriced(endpoint: httpx.Client) -> bool:
            candidates = _answer(endpoint, request | {"debug": True})["trace"]["candidates"]
            found = [each for each in candidates if each["item_id"] == item_id]
            return not found or abs(found[0]["features"]["price"] - expected) < 1e-3

        return {"item_id": item_id, "price": price}, repriced
    text = f"A velvet trombone number {trial}"
    query = {"query": {"text": f"{text}. sound of brass"}, "k": 20, "deadline_ms": protocols.PATIENCE_MS}

    def described(endpoint: httpx.Client) -> bool:
        found = [item for item in _answer(endpoint, query)["items"] if item["item_id"] == item_id]
        shown = [item for item in _answer(endpoint, request)["items"] if item["item_id"] == item_id]
        return all(item.get("title") == text for item in found + shown)

    return {"item_id": item_id, "title": text, "description": "sound of brass"}, described


def _many_changed(served: Release, users: list[str], one: httpx.Client, plain: list[float]) -> list[Row]:
    """Requests in turns with those of the release without changes."""
    items = served.strings("item_ids")[1 : CHANGED + 1].tolist()
    known = [item["item_id"] for item in _read(one, items) if item["state"] not in ("deleted", "disabled")]
    client_calls = [{"item_id": item_id, "price": 5.0 + number} for number, item_id in enumerate(known)]
    send(chunks(client_calls, 64), lambda batch: protocols.add_items(one, list(batch)), len(known), "", False)
    changed = _plain(one, users)
    return [
        row("plain request, no item changed, p50", 1000 * float(np.median(plain)), "ms"),
        row(f"plain request, {len(known)} items changed, p50", 1000 * float(np.median(changed)), "ms"),
    ]


def _many_new(one: httpx.Client, other: httpx.Client, users: list[str]) -> list[Row]:
    instances = [
        {"item_id": f"new-{number}", "title": f"Thing {number % 500}", "price": float(number % 90)}
        for number in range(NEW)
    ]
    started = time.perf_counter()
    send(chunks(instances, 64), lambda batch: protocols.add_items(one, list(batch)), NEW, "", False)
    seconds = time.perf_counter() - started
    # The other process follows the stream: the last item is there once its event is accepted.
    event = {"user_id": users[0], "item_id": f"new-{NEW - 1}", "event": "view"}
    while other.post("/v1/models/events:predict", json={"instances": [event]}).is_error:
        if time.perf_counter() - started - seconds > 60:
            raise WinnowError("the second transformer did not receive the new items within a minute")
        time.sleep(0.02)
    lag = time.perf_counter() - started - seconds
    return [
        row(f"{NEW:,} new items, sent in calls of 64", NEW / seconds, "items/s"),
        row(f"{NEW:,} new items, last one in the other process after the last acknowledgement", lag, "s", "<= 1"),
        row(f"plain request with {NEW:,} new items, p50", 1000 * float(np.median(_plain(one, users))), "ms"),
    ]


def _plain(endpoint: httpx.Client, users: list[str]) -> list[float]:
    """Seconds of requests that only name a user and k, none of whose answers is reused."""
    seconds = []
    for number in range(REQUESTS):
        request = {"user_id": users[number % len(users)], "k": 10, "deadline_ms": protocols.PATIENCE_MS - number}
        started = time.perf_counter()
        _answer(endpoint, request)
        seconds.append(time.perf_counter() - started)
    return seconds[REQUESTS // 10 :]


def _read(endpoint: httpx.Client, items: list[str]) -> list[dict[str, Any]]:
    instances = [{"item_id": item_id, "action": "read"} for item_id in items]
    return send(chunks(instances, 64), lambda batch: protocols.add_items(endpoint, list(batch)), len(items), "", False)


def _ids(endpoint: httpx.Client, request: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in _answer(endpoint, request)["items"]]


def _answer(endpoint: httpx.Client, request: dict[str, Any]) -> Answer:
    [answer] = protocols.over_http_v1(endpoint, [request])
    return answer

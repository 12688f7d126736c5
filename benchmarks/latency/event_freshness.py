"""How soon an event counts: in the next answer, of either of two transformers.

A trial asks one transformer, sends an event of the first item, and asks the other one after the acknowledgement. An
answer that still has the item is stale.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import active_users, newest, stack
from tests.support.transformer_process import transformer
from winnow import protocols
from winnow.errors import WinnowError
from winnow.local.redis import url
from winnow.request import Answer

TRIALS = 1000
LOAD_PER_S = 20
"""Background requests a second of other users: a small shop's load."""

K = 10
PATIENCE_S = 5.0


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own and send events of recommended items.

    Raises:
        WinnowError: there is no release, or an event was not acknowledged.
    """
    served = newest()
    users = active_users(served, TRIALS)
    waited: list[float] = []
    taken: list[float] = []
    stale = late = 0
    with (
        stack(served, reuse_s=None) as running,
        transformer(served, running.ports, url(running.ports.redis)) as (_, second),
        protocols.http(running.ports.http) as one,
        protocols.http(second) as other,
        load(running.ports.http, users, LOAD_PER_S) as others,
    ):
        for trial in range(TRIALS):
            user = users[trial % len(users)]
            here, there = (one, other) if trial % 2 else (other, one)
            met = _answer(here, user)["items"][0]["item_id"]
            sent = time.perf_counter()
            _happened(here, user, met, served.schema.events[0], f"trial-{trial}")
            acknowledged = time.perf_counter()
            taken.append(acknowledged - sent)
            while True:
                answer = _answer(there, user)
                seconds = time.perf_counter() - acknowledged
                # A degraded list may lack the user's state, so it does not count.
                if not answer["degraded"] and met not in (item["item_id"] for item in answer["items"]):
                    waited.append(seconds)
                    break
                if not answer["degraded"]:
                    stale += 1
                if seconds > PATIENCE_S:
                    late += 1
                    break
        asked = len(others)
    milliseconds, acknowledgements = 1000 * np.array(waited or [np.inf]), 1000 * np.array(taken)
    return [
        row("freshness, acknowledged event to a list without the item, p50", float(np.median(milliseconds)), "ms"),
        row(
            "freshness, acknowledged event to a list without the item, p99",
            float(np.percentile(milliseconds, 99)),
            "ms",
            "<= 100",
        ),
        row("freshness, slowest", float(milliseconds.max()), "ms"),
        row(f"freshness, trials that took longer than {PATIENCE_S:.0f} s", late, f"of {TRIALS}", "<= 0"),
        row("stale answers after an acknowledgement, two transformers", stale, f"of {TRIALS}", "<= 0"),
        row("acknowledgement of an event, p50", float(np.median(acknowledgements)), "ms", "<= 5"),
        row("acknowledgement of an event, p99", float(np.percentile(acknowledgements, 99)), "ms"),
        row("freshness, background requests of other users", asked, ""),
    ]


def _happened(endpoint: httpx.Client, user: str, item: str, event: str, event_id: str) -> None:
    instance = {"user_id": user, "item_id": item, "event": event, "event_id": event_id}
    answer = endpoint.post("/v1/models/events:predict", json={"instances": [instance]})
    if answer.status_code != httpx.codes.OK:
        raise WinnowError(f"an event was not acknowledged: {answer.status_code} {answer.text}")


def _answer(endpoint: httpx.Client, user: str) -> Answer:
    [answer] = protocols.over_http_v1(endpoint, [{"user_id": user, "k": K}])
    return answer


@contextmanager
def load(port: int, users: list[str], per_second: int) -> Iterator[list[None]]:
    """Background requests at a steady rate; the list grows by one for each."""
    stop, asked = threading.Event(), list[None]()

    def ask() -> None:
        with protocols.http(port) as endpoint:
            started = time.perf_counter()
            while not stop.wait(max(0.0, started + len(asked) / per_second - time.perf_counter())):
                _answer(endpoint, users[len(asked) * 7 % len(users)])
                asked.append(None)

    others = threading.Thread(target=ask)
    others.start()
    try:
        yield asked
    finally:
        stop.set()
        others.join()

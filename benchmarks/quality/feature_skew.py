"""Training-serving skew of a served release: none without a change, and a changed definition is named."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest, serving
from winnow import protocols
from winnow.evaluation.skew import SkewReport, check, differing
from winnow.local.redis import url
from winnow.release import Release
from winnow.schema import HALF_LIVES

REQUESTS = 300
HALF = REQUESTS // 2

CHANGED = "popularity_7d"
LIMIT = 1000
COLD_START = 20
WRITTEN_S = 0.5
"""Seconds until an impression is in the stream."""


def measure() -> list[Row]:
    """Serve the newest release on a stack of its own, send requests, and recompute the served features.

    Raises:
        WinnowError: there is no release, or its data set is missing.
    """
    served = newest()
    with serving(served) as ports:
        with protocols.http(ports.http) as endpoint:
            _ask(endpoint, served)
        time.sleep(WRITTEN_S)
        clean = check(served, url(ports.redis), LIMIT)
        with _another_half_life(CHANGED):
            changed = check(served, url(ports.redis), LIMIT)
    named = differing(changed)
    return [
        row("skew, impressions compared", clean["impressions"], "", ">= 10"),
        row("skew, features compared", len(clean["features"]), ""),
        row("skew, values compared", sum(feature["compared"] for feature in clean["features"]), ""),
        row("skew, features that differ on a clean run", len(differing(clean)), "", "<= 0"),
        row("skew, values that could not be compared", sum(clean["not_checked"].values()), "", "<= 0"),
        row("skew, a changed half-life: its feature is named", named.count(f"item.{CHANGED}"), "", ">= 1"),
        row("skew, a changed half-life: other features named", len(set(named) - {f"item.{CHANGED}"}), "", "<= 0"),
        row("skew, a changed half-life: largest difference", _largest(changed), "log share"),
    ]


def _ask(endpoint: httpx.Client, served: Release) -> None:
    """Requests of cold-start and known users; users of the second half click during the first half."""
    users = _users(served)
    for number, user in enumerate(users):
        request: protocols.Instance = {"user_id": user, "k": 10, "deadline_ms": protocols.PATIENCE_MS}
        # Fixed request ids, so that the same requests are sampled in every run.
        endpoint.headers["x-request-id"] = f"skew-{number}"
        [answer] = protocols.over_http_v1(endpoint, [request])
        if number < HALF:
            clicked = {"user_id": users[number + HALF], "item_id": answer["items"][0]["item_id"]}
            event = clicked | {"event": served.schema.events[0]}
            endpoint.post("/v1/models/events:predict", json={"instances": [event]}).raise_for_status()


def _users(served: Release) -> list[str]:
    known = np.random.default_rng(0).permutation(served.array("user_ids"))[: REQUESTS - COLD_START].tolist()
    return [*(f"cold-start-{number}" for number in range(COLD_START)), *known]


@contextmanager
def _another_half_life(name: str) -> Iterator[None]:
    """Double a half-life inside the block, like an accidental change of a definition."""
    before = HALF_LIVES[name]
    HALF_LIVES[name] = 2 * before
    try:
        yield
    finally:
        HALF_LIVES[name] = before


def _largest(report: SkewReport) -> float:
    return max((feature["largest"] or 0.0 for feature in report["features"]), default=0.0)

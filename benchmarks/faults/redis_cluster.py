"""Winnow on a real Redis Cluster: equal answers, equal freshness, and one node killed.

When a master dies, every event that was acknowledged *and* had reached the replica that takes over is kept and applied.
Redis replicates asynchronously, so an event acknowledged in the last milliseconds may not have reached it: the
benchmark waits for the replica (``WAIT 1``) before it kills the master.
"""

import time

import httpx
import numpy as np
import psutil

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import newest, serving
from tests.support.faults.failover import fail_over
from tests.support.redis_cluster import MASTERS, redis_cluster
from winnow import protocols as endpoints
from winnow.errors import WinnowError
from winnow.release import Release

USERS = 50
SHOWN = 20
TRIALS = 100
EVENTS = 500
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
"""Pause between trials, so that the trials' own load is not measured."""


def measure() -> list[Row]:
    """Serve the newest release from one Redis, then from a cluster of three masters with a replica each.

    Raises:
        WinnowError: there is no release, or the cluster does not start or recover.
    """
    served = newest()
    with serving(served) as ports, endpoints.http(ports.http) as endpoint:
        expected = _answers(endpoint, served)
        alone = _freshness(endpoint, served)
    with redis_cluster(replicas=MASTERS) as cluster, serving(served, cluster.url) as ports:
        with endpoints.http(ports.http) as endpoint:
            answers = _answers(endpoint, served)
            waited = _freshness(endpoint, served)
        found = fail_over(cluster, ports.http, _sidecar(), served, EVENTS)
    same = sum(one == other for one, other in zip(answers, expected, strict=True))
    return [
        row(f"cluster, answers equal to one Redis's, of {USERS} users", same, "", f">= {USERS}"),
        row("one Redis, event acknowledged to item gone, median", float(np.median(alone)), "ms"),
        row(f"one Redis, event acknowledged to item gone, p99 of {TRIALS}", _p99(alone), "ms"),
        row("cluster, event acknowledged to item gone, median", float(np.median(waited)), "ms"),
        row(f"cluster, event acknowledged to item gone, p99 of {TRIALS}", _p99(waited), "ms", "<= 100"),
        row("node killed, events acknowledged and replicated before", found.events, ""),
        row("node killed, events lost", found.lost, "", "<= 0"),
        row("node killed, events that their user's filter denies", found.denied, "", "<= 0"),
        row("node killed, recommendations requested until service was steady", found.asked, ""),
        row("node killed, recommendations refused", found.refused, "", "<= 0"),
        row("node killed, degraded recommendations", found.degraded, ""),
        row("node killed, until every answer was complete and every event accepted", found.seconds, "s", "<= 20"),
    ]


def _answers(endpoint: httpx.Client, served: Release) -> list[list[tuple[str, float]]]:
    users = served.array("user_ids").tolist()[:USERS]
    answers = []
    for user in users:
        [answer] = endpoints.over_http_v1(endpoint, [{"user_id": user, "k": SHOWN, "deadline_ms": 5000}])
        if answer["degraded"]:
            raise WinnowError(f"an answer was degraded while all was well: {answer['degraded']}")
        answers.append([(item["item_id"], item["score"]) for item in answer["items"]])
    return answers


def _freshness(endpoint: httpx.Client, served: Release) -> list[float]:
    """For each trial, milliseconds from an event's acknowledgement until an answer without its item."""
    waited = []
    for trial in range(TRIALS):
        time.sleep(_PAUSE_S)
        user = f"visitor-{trial}"
        shown = _shown(endpoint, user)[0]
        event = {"user_id": user, "item_id": shown, "event": served.schema.events[0]}
        endpoint.post("/v1/models/events:predict", json={"instances": [event]}).raise_for_status()
        acknowledged = time.perf_counter()
        while shown in _shown(endpoint, user):
            if time.perf_counter() - acknowledged > _PATIENCE_S:
                raise WinnowError(f"trial {trial}: {shown} was still shown after {_PATIENCE_S:g} s")
        waited.append((time.perf_counter() - acknowledged) * 1000)
    return waited


def _shown(endpoint: httpx.Client, user: str) -> list[str]:
    [answer] = endpoints.over_http_v1(endpoint, [{"user_id": user, "k": SHOWN, "deadline_ms": 5000}])
    return [item["item_id"] for item in answer["items"]]


def _sidecar() -> int:
    """The process id of the stack's sidecar."""
    return next(child.pid for child in psutil.Process().children() if "bloom_sidecar" in child.cmdline())


def _p99(waited: list[float]) -> float:
    return float(np.percentile(waited, 99))

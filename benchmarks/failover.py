"""The node that holds the event stream is killed: what is lost, and how long until everything is as before?"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle

import httpx
import numpy as np

from benchmarks.redis_cluster import Cluster
from benchmarks.waiting import until
from winnow import client as endpoints
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.errors import WinnowError
from winnow.feedback.stream import entries
from winnow.release import Release
from winnow.store.connection import FAILURES, Client, connect
from winnow.store.events import codes_of, parse
from winnow.store.keys import EVENTS, Keys

STEADY_S = 3.0
"""Full service is back once it has lasted for so long."""

_PATIENCE_S = 60.0
_HAPPENED = 1_750_000_000_000


@dataclass(frozen=True)
class FailedOver:
    """What was found after the node was killed.

    Attributes:
        events: events that were acknowledged to their senders before, and by the replica to its master.
        lost: how many of them the stream lacks, and of those that were acknowledged afterwards.
        denied: of all acknowledged events, those of which the user's seen filter knows nothing.
        asked: recommendations asked for until full service was back and steady.
        refused: how many of them were not answered.
        degraded: how many were answered without some part.
        seconds: from the kill until every recommendation was whole again and every event taken.
    """

    events: int
    lost: int
    denied: int
    asked: int
    refused: int
    degraded: int
    seconds: float


def fail_over(cluster: Cluster, http_port: int, sidecar: int, release: Release, events: int) -> FailedOver:
    """Send events, kill the node that holds their stream, and go on asking and sending until all is well.

    Args:
        cluster: every one of its masters has a replica; one of them is gone afterwards.
        http_port: of the transformer that serves ``release`` from this cluster.
        sidecar: process id of the sidecar, held up until the node is gone so that it has yet to apply them all.
        release: of which the users and the items are taken.
        events: how many to send before.

    Raises:
        WinnowError: something that must come about does not.
    """
    master = cluster.masters[cluster.place(EVENTS)]
    happening = _happenings(release)
    acknowledged: set[tuple[str, str, int]] = set()
    with endpoints.http(http_port) as endpoint:
        os.kill(sidecar, signal.SIGSTOP)
        try:
            while len(acknowledged) < events - 1:
                event = next(happening)
                if not _send(endpoint, release, event):
                    raise WinnowError("an event was refused while all was well")
                acknowledged.add(event)
            # WAIT speaks for its own connection, so the last event goes by this one; the stream is replicated in order.
            user_id, item_id, at = event = next(happening)
            fields = {"user_id": user_id, "item_id": item_id, "event": release.schema.events[0], "timestamp": at}
            master.client.xadd(EVENTS, fields)  # type: ignore[arg-type]
            if master.client.wait(1, 5000) != 1:
                raise WinnowError("the replica did not acknowledge the events")
            acknowledged.add(event)
            master.kill()
        finally:
            os.kill(sidecar, signal.SIGCONT)
        killed = well = time.monotonic()
        asked = refused = degraded = 0
        users = cycle(release.array("user_ids").tolist())
        while time.monotonic() - well < STEADY_S:
            if time.monotonic() - killed > _PATIENCE_S:
                raise WinnowError(f"no full service within {_PATIENCE_S:g} s after a node was killed")
            response = _post(endpoint, "recommender", {"user_id": next(users)})
            whole = response.is_success and not response.json()["predictions"][0]["degraded"]
            asked, refused, degraded = asked + 1, refused + response.is_error, degraded + (not whole)
            event = next(happening)
            taken = _send(endpoint, release, event)
            if taken:
                acknowledged.add(event)
            if not (whole and taken):
                well = time.monotonic()
    with connect(cluster.url) as client:
        until(lambda: _all_applied(client, release), _PATIENCE_S)
        there = _stream(client, release)
        denied = sum(item_hash(item) not in _seen(client, release, user) for user, item, _ in acknowledged)
    return FailedOver(
        events=events,
        lost=len(acknowledged - there),
        denied=denied,
        asked=asked,
        refused=refused,
        degraded=degraded - refused,
        seconds=well - killed,
    )


def _happenings(release: Release) -> Iterator[tuple[str, str, int]]:
    """Users, items and moments, no moment twice."""
    random = np.random.default_rng(0)
    users, items = release.array("user_ids").tolist(), release.array("item_ids").tolist()
    for number in count():
        yield users[number % len(users)], items[random.integers(1, len(items))], _HAPPENED + number


def _send(endpoint: httpx.Client, release: Release, event: tuple[str, str, int]) -> bool:
    user_id, item_id, at = event
    told = {"user_id": user_id, "item_id": item_id, "event": release.schema.events[0], "timestamp": at}
    return _post(endpoint, "events", told).is_success


def _post(endpoint: httpx.Client, model: str, instance: endpoints.Instance) -> httpx.Response:
    return endpoint.post(f"/v1/models/{model}:predict", json={"instances": [instance]})


def _all_applied(client: Client, release: Release) -> bool:
    group = Keys(release.manifest.number).group.encode()
    try:
        ours = next(found for found in client.xinfo_groups(EVENTS) if found["name"] == group)
        last = client.xinfo_stream(EVENTS)["last-generated-id"]
    except FAILURES:
        return False
    return bool(ours["last-delivered-id"] == last and not ours["pending"])


def _stream(client: Client, release: Release) -> set[tuple[str, str, int]]:
    parsed = (parse(entry, codes_of(release.schema.events)) for entry in entries(client))
    return {(event.user_id, event.item_id, event.timestamp) for event in parsed if event is not None}


def _seen(client: Client, release: Release, user_id: str) -> SeenFilter:
    packed = client.get(Keys(release.manifest.number).seen(user_id))
    return SeenFilter.from_bytes(packed if isinstance(packed, bytes) else b"")

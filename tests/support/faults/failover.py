"""Kill the node that holds the event stream: lost events, and the time until full service is back."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle

import httpx
import numpy as np

from tests.support.redis_cluster import Cluster
from tests.support.until import until
from winnow import protocols as endpoints
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import SeenFilter
from winnow.errors import WinnowError
from winnow.feedback.streams import entries
from winnow.release import Release
from winnow.store.connection import FAILURES, Client, connect
from winnow.store.events import event_codes, parse
from winnow.store.keys import EVENTS, Keys
from winnow.store.shared_state import state_of

STEADY_S = 3.0
"""Full service is back when it has lasted for this time."""

_PATIENCE_S = 60.0
_HAPPENED = 1_750_000_000_000


@dataclass(frozen=True)
class FailedOver:
    """The result of a fail-over.

    Attributes:
        events: events acknowledged to their senders before the kill, and by the replica to its master.
        lost: events missing from the stream, of these and of those acknowledged later.
        denied: acknowledged events whose user's seen filter denies the item.
        asked: recommendations requested until full service was back and steady.
        refused: of these, the ones without an answer.
        degraded: of these, the ones with a degraded part.
        seconds: from the kill until every recommendation was complete and every event accepted.
    """

    events: int
    lost: int
    denied: int
    asked: int
    refused: int
    degraded: int
    seconds: float


def fail_over(cluster: Cluster, http_port: int, sidecar: int, release: Release, events: int) -> FailedOver:
    """Send events, kill the node with their stream, and keep sending requests and events until full service is back.

    Args:
        cluster: every master has a replica; one master is dead afterwards.
        http_port: of the transformer that serves ``release`` from this cluster.
        sidecar: process id of the sidecar; it is stopped until the kill, so that it applies every event afterwards.
        release: source of users and items.
        events: number of events before the kill.

    Raises:
        WinnowError: events are refused before the kill, or full service does not return.
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
            # WAIT covers its own connection only, so the last event is sent here; the stream is replicated in order.
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
    """Users, items and distinct timestamps."""
    random = np.random.default_rng(0)
    users, items = release.array("user_ids").tolist(), release.strings("item_ids").tolist()
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
    parsed = (parse(entry, event_codes(release.schema.events)) for entry in entries(client))
    return {(event.user_id, event.item_id, event.timestamp) for event in parsed if event is not None}


def _seen(client: Client, release: Release, user_id: str) -> SeenFilter:
    packed = client.get(state_of(release).seen(user_id))
    return SeenFilter.from_bytes(packed if isinstance(packed, bytes) else b"")

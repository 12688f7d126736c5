"""Read the event stream as one of a release's consumer group, and apply what comes."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import cast

from prometheus_client import Counter, Histogram
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from bloom_sidecar.apply import Event, apply, by_user
from winnow.store.keys import EVENTS, Keys

log = logging.getLogger(__name__)

_BATCH = 256
_BLOCK_MS = 500
_STALE_MS = 5_000
"""After this long an entry that was delivered but not acknowledged is taken over: its sidecar is gone."""

_PAUSE_S = 0.5
"""Wait after Redis failed, before it is tried again."""

_APPLIED = Counter("winnow_sidecar_events_total", "Events read from the stream.", ("outcome",))
_LAG = Histogram(
    "winnow_sidecar_lag_seconds",
    "From an event's entry into the stream to its effect on the filters.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)


class Consumer:
    """One member of the group.

    Args:
        client: connection to Redis, answering bytes.
        keys: the release's keys.
        event_types: declared event types; the code of the first is 1.
        name: of this member, unlike any other's.
    """

    def __init__(self, client: Redis, keys: Keys, event_types: Sequence[str], name: str) -> None:
        self._client = client
        self._keys = keys
        self._codes = {event: code for code, event in enumerate(event_types, 1)}
        self._name = name
        self._looked_for_stale = 0.0
        self.ready = False

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what was read by then is applied and acknowledged first."""
        while not stop.is_set():
            try:
                if not self.ready:
                    self._join()
                self.step()
                self.ready = True
            except RedisError as error:
                self.ready = False
                log.warning("Redis fails, trying again: %s", error)
                stop.wait(_PAUSE_S)

    def step(self) -> int:
        """Take over stale entries when it is time, read new ones, apply both; returns how many there were."""
        entries = self._stale() + self._new()
        known = [(stream_id, event) for stream_id, fields in entries if (event := self._event(fields)) is not None]
        acknowledged = [stream_id for stream_id, fields in entries if self._event(fields) is None]
        _APPLIED.labels("malformed").inc(len(acknowledged))
        for user_id, events in by_user(known).items():
            try:
                apply(self._client, self._keys, user_id, [event for _, event in events])
            except ValueError:
                # The stored filter cannot be read. The entries stay pending, so that nothing is lost.
                log.exception("events of user %r cannot be applied", user_id)
                _APPLIED.labels("failed").inc(len(events))
                continue
            acknowledged += [stream_id for stream_id, _ in events]
            _APPLIED.labels("applied").inc(len(events))
            for stream_id, _ in events:
                _LAG.observe(max(0.0, time.time() - int(stream_id.split(b"-")[0]) / 1000))
        if acknowledged:
            self._client.xack(EVENTS, self._keys.group, *acknowledged)
        return len(entries)

    def _join(self) -> None:
        """Make the group where it is missing, from the stream's beginning: a new release catches up on all of it."""
        try:
            self._client.xgroup_create(EVENTS, self._keys.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _new(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        # The client's types cover every dialect of its protocol; with bytes and one stream the answer is this.
        read = cast(
            "list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]",
            self._client.xreadgroup(self._keys.group, self._name, {EVENTS: ">"}, count=_BATCH, block=_BLOCK_MS),
        )
        return [entry for _, entries in read for entry in entries]

    def _stale(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        if time.monotonic() - self._looked_for_stale < _STALE_MS / 1000:
            return []
        self._looked_for_stale = time.monotonic()
        claimed = self._client.xautoclaim(EVENTS, self._keys.group, self._name, _STALE_MS, "0-0", count=_BATCH)
        # An entry that was deleted from the stream comes back empty.
        return [(stream_id, fields) for stream_id, fields in claimed[1] if fields]

    def _event(self, fields: dict[bytes, bytes]) -> Event | None:
        try:
            return Event(
                user_id=fields[b"user_id"].decode(),
                item_id=fields[b"item_id"].decode(),
                code=self._codes.get(fields[b"event"].decode(), 0),
                timestamp=int(fields[b"timestamp"]),
            )
        except (KeyError, ValueError):
            return None

"""The sidecar's loop: read the event stream as a member of the release's consumer group, and apply the events."""

import logging
import threading
import time

import numpy as np

from bloom_sidecar import metrics
from bloom_sidecar.apply import Applied, apply, by_user
from bloom_sidecar.group import Group
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import FALSE_POSITIVE_RATE, WINDOW_MS
from winnow.release import Release
from winnow.store import trending
from winnow.store.connection import FAILURES, Client
from winnow.store.events import Event, entered_ms, event_codes, parse
from winnow.store.keys import EVENTS, Keys
from winnow.store.shared_state import state_of
from winnow.store.stored_items import StoredItem, StoredItems
from winnow.store.trending import Done

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
"""Pause after a Redis error, before the next attempt."""

_MAINTENANCE_S = 1.0
"""Interval at which the trending list's lease is requested and the lag is measured."""

_STUCK_S = 60.0
"""The process counts as stuck when an iteration takes longer than this."""

_PROBES = 256
"""Catalog items with which the filter of a sampled user is tested, in about 30 microseconds."""


class Consumer:
    """A member of the consumer group.

    Args:
        client: connection to Redis that returns bytes.
        release: the release whose filters are updated.
        name: name of this member, unique in the group.
        window_ms: window length of the seen filters, in milliseconds.

    Attributes:
        group: the consumer group.
        ready: whether the last iteration succeeded.
    """

    def __init__(self, client: Client, release: Release, name: str, window_ms: int = WINDOW_MS) -> None:
        manifest, schema = release.manifest, release.schema
        self._client = client
        self._release = manifest.number
        self._state = state_of(release)
        self._name = name
        self._window_ms = window_ms
        self._codes = event_codes(schema.events)
        self._schema = schema
        self._created = trending.created_ms(manifest)
        self._as_of = manifest.as_of
        # The initial counts contain the log; older events must not be counted twice.
        self._counted_from = min(self._created, manifest.as_of)
        self._popular = np.asarray(release.array("popular"), np.int32)
        self._items = StoredItems(client, release)
        item_ids = release.strings("item_ids")
        drawn = np.random.default_rng().integers(1, len(item_ids), _PROBES)
        self._probes = [item_hash(item_id) for item_id in item_ids[drawn].tolist()]
        self._probed = self._false_positives = 0
        self._gap: bytes | None = None
        self._maintained = 0.0
        self._iteration = time.monotonic()
        self.group = Group(client, Keys(self._release).group, name)
        self.ready = False
        metrics.FALSE_POSITIVE_TARGET.set(FALSE_POSITIVE_RATE)

    @property
    def alive(self) -> bool:
        """Whether the loop is running."""
        return time.monotonic() - self._iteration < _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set; entries that were read by then are applied and acknowledged first."""
        while not stop.is_set():
            self._iteration = time.monotonic()
            try:
                if not self.ready:
                    self._join()
                self.step()
                self._maintain()
                self.ready = True
            except FAILURES as error:
                self.ready = False
                log.warning("Redis failed, retrying: %s", error)
                stop.wait(_PAUSE_S)
        self.ready = False
        try:
            self.group.leave()
        except FAILURES as error:
            log.warning("could not leave the consumer group: %s", error)

    def step(self) -> int:
        """Claim stale entries when due, read new ones, and apply both; returns the number of entries."""
        stale = self.group.stale()
        metrics.TAKEN_OVER.inc(len(stale))
        entries = stale + self.group.new()
        parsed = [(entry[0], parse(entry, self._codes)) for entry in entries]
        valid = [(stream_id, event) for stream_id, event in parsed if event is not None]
        done = [Done(stream_id) for stream_id, event in parsed if event is None]
        metrics.EVENTS.labels("malformed").inc(len(done))
        items = self._items.read({event.item_id for _, event in valid}) if valid else {}
        for user_id, events in by_user(valid).items():
            try:
                applied = apply(
                    self._client,
                    self._state,
                    user_id,
                    [event for _, event in events],
                    items,
                    self._window_ms,
                    self._probes,
                )
            except ValueError as error:
                # The stored filter has an invalid format. The entries stay pending, so that no event is lost.
                log.error("events of user %r wait for `winnow filters rebuild`: %s", user_id, error)
                metrics.UNREADABLE.inc()
                metrics.EVENTS.labels("failed").inc(len(events))
                continue
            self._measure(applied)
            metrics.EVENTS.labels("applied").inc(len(events))
            for stream_id, event in events:
                metrics.LATENCY.observe(max(0.0, time.time() - entered_ms(stream_id) / 1000))
                done.append(self._done(stream_id, event, items.get(event.item_id)))
        trending.acknowledge(self._client, self._release, done)
        return len(entries)

    def _join(self) -> None:
        trimmed = self.group.join()
        # Events before the end of the release's log are part of the log.
        if trimmed is not None and entered_ms(trimmed) > self._as_of:
            self._client.set(Keys(self._release).gap, trimmed)

    def _done(self, stream_id: bytes, event: Event, item: StoredItem | None) -> Done:
        value = self._schema.value_of(event.code, event.amount)
        if item is None or value <= 0 or event.at_ms < self._counted_from:
            return Done(stream_id)
        return Done(stream_id, item.index, trending.increment(value, event.at_ms, self._created))

    def _measure(self, applied: Applied) -> None:
        windows = applied.activity.seen.windows
        if windows:
            metrics.FILL.observe(windows[max(windows)].fill)
            metrics.LAYERS.observe(max(window.depth for window in windows.values()))
            metrics.BYTES.observe(applied.size)
        metrics.ROTATIONS.inc(applied.rotated)
        if applied.errors is not None:
            probes, false_positives, false_negatives = applied.errors
            self._probed += probes
            self._false_positives += false_positives
            metrics.PROBES.labels("met").inc(false_positives)
            metrics.PROBES.labels("not met").inc(probes - false_positives)
            metrics.FALSE_NEGATIVES.inc(false_negatives)
            metrics.FALSE_POSITIVE_RATE.set(self._false_positives / max(self._probed, 1))

    def _maintain(self) -> None:
        if time.monotonic() - self._maintained < _MAINTENANCE_S:
            return
        self._maintained = time.monotonic()
        if trending.refresh(self._client, self._release, self._popular, self._name):
            metrics.REFRESHED.inc()
        pending, behind, seconds = self.group.lag()
        metrics.PENDING.set(pending)
        metrics.BEHIND.set(behind)
        metrics.BEHIND_SECONDS.set(seconds)
        metrics.STREAM.set(int(self._client.xlen(EVENTS)))
        keys = Keys(self._release)
        rebuilds, held = self._client.mget(keys.rebuilds, keys.gap)
        gap = held if isinstance(held, bytes) else None
        metrics.REBUILDS.set(int(rebuilds or 0))
        metrics.GAP.set(gap is not None)
        if gap is not None and gap != self._gap:
            log.error(
                "release %d misses events up to %s: they were trimmed before it read them, and histories and filters "
                "lack them until `winnow filters rebuild`",
                self._release,
                gap.decode(),
            )
        self._gap = gap

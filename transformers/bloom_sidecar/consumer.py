"""Read the event stream as one of a release's consumer group, and apply what comes."""

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
from winnow.store.events import Event, codes_of, entered, parse
from winnow.store.item_rows import Item, Items
from winnow.store.keys import EVENTS, Keys
from winnow.store.trending import Done

log = logging.getLogger(__name__)

_PAUSE_S = 0.5
"""Wait after Redis failed, before it is tried again."""

_LOOK_S = 1.0
"""How often the trending list's lease is asked for and the lag is measured."""

_STUCK_S = 60.0
"""A loop that has not come round for so long will not do so again."""

_PROBES = 256
"""Items of the catalog that a sampled user's filter is asked for: some 30 microseconds."""


class Consumer:
    """One member of the group.

    Args:
        client: connection to Redis, answering bytes.
        release: whose filters are kept.
        name: of this member, unlike any other's.
        window_ms: length of the seen filters' windows, milliseconds.

    Attributes:
        ready: whether the last round went well.
    """

    def __init__(self, client: Client, release: Release, name: str, window_ms: int = WINDOW_MS) -> None:
        manifest, schema = release.manifest, release.schema
        self._client = client
        self._release = manifest.number
        self._name = name
        self._window_ms = window_ms
        self._codes = codes_of(schema.events)
        self._weights = (0.0, *schema.event_weights)
        self._created = trending.created_ms(manifest)
        self._as_of = manifest.as_of
        # What is older is in the log that the counts were started with.
        self._counted_from = min(self._created, manifest.as_of)
        self._popular = np.asarray(release.array("popular"), np.int32)
        self._items = Items(client, release)
        item_ids = release.array("item_ids")
        drawn = np.random.default_rng().integers(1, len(item_ids), _PROBES)
        self._probes = [item_hash(item_id) for item_id in item_ids[drawn].tolist()]
        self._asked = self._wrong = 0
        self._gap: bytes | None = None
        self._looked = 0.0
        self._round = time.monotonic()
        self.group = Group(client, Keys(self._release).group, name)
        self.ready = False
        metrics.FALSE_POSITIVE_TARGET.set(FALSE_POSITIVE_RATE)

    @property
    def alive(self) -> bool:
        """Whether the loop still comes round."""
        return time.monotonic() - self._round < _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what was read by then is applied and acknowledged first."""
        while not stop.is_set():
            self._round = time.monotonic()
            try:
                if not self.ready:
                    self._join()
                self.step()
                self._look()
                self.ready = True
            except FAILURES as error:
                self.ready = False
                log.warning("Redis fails, trying again: %s", error)
                stop.wait(_PAUSE_S)
        self.ready = False
        try:
            self.group.leave()
        except FAILURES as error:
            log.warning("the group cannot be left: %s", error)

    def step(self) -> int:
        """Take over stale entries when it is time, read new ones, apply both; returns how many there were."""
        stale = self.group.stale()
        metrics.TAKEN_OVER.inc(len(stale))
        entries = stale + self.group.new()
        parsed = [(entry[0], parse(entry, self._codes)) for entry in entries]
        known = [(stream_id, event) for stream_id, event in parsed if event is not None]
        done = [Done(stream_id) for stream_id, event in parsed if event is None]
        metrics.EVENTS.labels("malformed").inc(len(done))
        items = self._items.read({event.item_id for _, event in known}) if known else {}
        for user_id, events in by_user(known).items():
            try:
                applied = apply(
                    self._client,
                    self._release,
                    user_id,
                    [event for _, event in events],
                    items,
                    self._window_ms,
                    self._probes,
                )
            except ValueError as error:
                # The stored filter cannot be read. The entries stay pending, so that nothing is lost.
                log.error("events of user %r wait for `winnow filters rebuild`: %s", user_id, error)
                metrics.UNREADABLE.inc()
                metrics.EVENTS.labels("failed").inc(len(events))
                continue
            self._measure(applied)
            metrics.EVENTS.labels("applied").inc(len(events))
            for stream_id, event in events:
                metrics.LATENCY.observe(max(0.0, time.time() - entered(stream_id) / 1000))
                done.append(self._done(stream_id, event, items.get(event.item_id)))
        trending.acknowledge(self._client, self._release, done)
        return len(entries)

    def _join(self) -> None:
        trimmed = self.group.join()
        # What happened before the log's end is for the log to have.
        if trimmed is not None and entered(trimmed) > self._as_of:
            self._client.set(Keys(self._release).gap, trimmed)

    def _done(self, stream_id: bytes, event: Event, item: Item | None) -> Done:
        weight = self._weights[event.code]
        if item is None or not weight or event.at_ms < self._counted_from:
            return Done(stream_id)
        return Done(stream_id, item.index, trending.increment(weight, event.at_ms, self._created))

    def _measure(self, applied: Applied) -> None:
        windows = applied.state.seen.windows
        if windows:
            metrics.FILL.observe(windows[max(windows)].fill)
            metrics.LAYERS.observe(max(layers.depth for layers in windows.values()))
            metrics.BYTES.observe(applied.size)
        metrics.ROTATIONS.inc(applied.rotated)
        if applied.errors is not None:
            asked, wrong, missing = applied.errors
            self._asked, self._wrong = self._asked + asked, self._wrong + wrong
            metrics.PROBES.labels("met").inc(wrong)
            metrics.PROBES.labels("not met").inc(asked - wrong)
            metrics.FALSE_NEGATIVES.inc(missing)
            metrics.FALSE_POSITIVE_RATE.set(self._wrong / max(self._asked, 1))

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
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

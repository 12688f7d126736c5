"""Rebuild the users' activity (histories and filters) from a release's own log and all events since.

The events are those in the stream and, once it was trimmed, the exported ones. What releases share is completed, not
replaced: what the logs of other releases added stays. A filter that cannot be read is written anew.

Events and logs of users who were merged count for those whom they were merged into; those of erased users for nobody.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from tqdm import tqdm

from winnow.bloom.seen import WINDOW_MS
from winnow.erasures.ledger import Ledger
from winnow.feedback.exported_events import ExportedEvents
from winnow.feedback.streams import entries
from winnow.release import Release
from winnow.store.connection import Client, connect
from winnow.store.events import Entry, Event, event_codes, parse
from winnow.store.keys import EVENTS, Keys, StateKeys
from winnow.store.publish import check_published
from winnow.store.release_log import ReleaseLog
from winnow.store.shared_state import state_of
from winnow.store.stored_items import StoredItem, StoredItems
from winnow.store.user_activity import UserActivity, clear, guarded

_EVENTS_PER_PASS = 500_000
"""Maximum events in memory, about 200 MB. A longer stream is read in several passes, each for a part of the users."""


class RebuildResult(NamedTuple):
    """The result of a rebuild.

    Attributes:
        users: number of users read and, where something was missing, written.
        events: number of events applied on top of the log.
    """

    users: int
    events: int


def rebuild(
    release: Release | Path,
    redis_url: str,
    show_progress: bool,
    window_ms: int = WINDOW_MS,
    exports: str | None = None,
) -> RebuildResult:
    """Complete history, seen filter and category filter of every user of a release.

    Sidecars may run meanwhile. Each user's keys are watched before the newest events of the stream are read: events
    that a sidecar applied before are among those read, and an event that it applies afterwards makes Redis abort the
    transaction, which is then retried.

    Args:
        release: the release, or its folder.
        redis_url: address of the Redis that holds the release.
        show_progress: show a progress bar.
        window_ms: window length of the seen filters, in milliseconds; equal to that of the sidecars.
        exports: folder of `winnow events export`; required once the stream was trimmed.

    Raises:
        ReleaseMismatch: Redis does not hold this release.
        WinnowError: Redis does not answer, the folder holds no release, or the exports are incomplete.
    """
    release = release if isinstance(release, Release) else Release.open(release)
    number = release.manifest.number
    with connect(redis_url) as client:
        check_published(client, redis_url, release)
        log, state = ReleaseLog(release, window_ms), state_of(release)
        ledger = Ledger.read(client)
        rows = _rows_of_users(log, ledger)
        gap = client.get(Keys(number).gap)
        exported = ExportedEvents(client, exports)
        parts = (int(client.xlen(EVENTS)) + exported.count()) // _EVENTS_PER_PASS + 1
        users = events = 0
        with tqdm(desc=f"rebuild release {number}", total=len(rows), unit="user", disable=not show_progress) as bar:
            for part in range(parts):
                found = _Events(client, release, exported, ledger, part, parts)
                bar.total = (bar.total or 0) + sum(user_id not in rows for user_id in found.of)
                for user_id in _users(rows, found, part, parts):
                    _write(client, state, log, rows.get(user_id, ()), found, user_id, window_ms)
                    users += 1
                    bar.update()
                events += found.events
        client.incr(Keys(number).rebuilds)
        if gap is not None and client.get(Keys(number).gap) == gap:
            client.delete(Keys(number).gap)
    return RebuildResult(users, events)


class _Events:
    """The events of a part of the users, exported ones first, up to the last entry read from the stream."""

    def __init__(
        self, client: Client, release: Release, exports: ExportedEvents, ledger: Ledger, part: int, parts: int
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._codes = event_codes(release.schema.events)
        self._read = StoredItems(client, release).read
        self._part, self._parts = part, parts
        self._first, self._last = b"", b""
        self.events = 0
        self.of: dict[str, list[Event]] = defaultdict(list)
        self.items: dict[str, StoredItem] = {}
        self.catch_up()
        # The stream is read before the exports: an entry that is trimmed in between has been read from the stream.
        newer, self.of = self.of, defaultdict(list)
        self._take(exports.before(self._first))
        for user_id, events in newer.items():
            self.of[user_id] += events

    def catch_up(self) -> None:
        """Read the entries that were appended since the last call."""
        self._take(self._new())

    def _new(self) -> Iterator[Entry]:
        for entry in entries(self._client, self._last):
            self._first, self._last = self._first or entry[0], entry[0]
            yield entry

    def _take(self, found: Iterable[Entry]) -> None:
        """Add the events of this part, and look up their items."""
        unknown = set()
        for entry in found:
            event = parse(entry, self._codes)
            owner = None if event is None else self._ledger.owner(event.user_id, event.at_ms)
            if event is None or owner is None or _part(owner, self._parts) != self._part:
                continue
            self.of[owner].append(event)
            self.events += 1
            if event.item_id not in self.items:
                unknown.add(event.item_id)
        names = sorted(unknown)
        for start in range(0, len(names), 1000):
            self.items |= self._read(names[start : start + 1000])


def _rows_of_users(log: ReleaseLog, ledger: Ledger) -> dict[str, list[int]]:
    """The rows of the log that are each user's: none of an erased user, several of one whom others were merged into."""
    found: dict[str, list[int]] = {}
    gone = ledger.gone(log.user_ids.tolist(), log.known_ms) if ledger != Ledger() else np.zeros(len(log.user_ids), bool)
    for user_id, row in log.rows.items():
        owner = ledger.owner(user_id, log.known_ms + 1) if gone[row] else user_id
        if owner is not None:
            found.setdefault(owner, []).append(row)
    return found


def _users(rows: Iterable[str], events: _Events, part: int, parts: int) -> Iterator[str]:
    """Yield the users of a part, including users whose first event arrives during the rebuild."""
    written = set()
    for user_id in rows:
        if _part(user_id, parts) == part:
            written.add(user_id)
            yield user_id
    while more := [user_id for user_id in events.of if user_id not in written]:
        written.update(more)
        yield from more


def _write(
    client: Client,
    state: StateKeys,
    log: ReleaseLog,
    rows: Sequence[int],
    events: _Events,
    user_id: str,
    window_ms: int,
) -> None:
    def update(pipe: Any) -> None:
        events.catch_up()
        try:
            activity, readable = UserActivity.read(pipe, state, user_id), True
        except ValueError:
            activity, readable = UserActivity.new(user_id), False
        for row in rows:
            log.users(np.array([row])).add_to(activity, 0)
        activity.apply(events.of.get(user_id, ()), events.items, window_ms)
        pipe.multi()
        if not readable:
            clear(pipe, state, user_id)
        activity.write(pipe, state)

    client.transaction(update, *guarded(state, user_id))


def _part(user_id: str, parts: int) -> int:
    return crc32(user_id.encode()) % parts

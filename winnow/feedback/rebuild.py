"""Rebuild a release's filters and histories from what cannot be wrong: its own log and all events that ever came.

The events are those in the stream and, once some of them were trimmed, those that were exported before.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from tqdm import tqdm

from winnow.bloom.seen import WINDOW_MS
from winnow.feedback.exported import Exports
from winnow.feedback.stream import entries
from winnow.release import Release
from winnow.store.connection import Client, connect
from winnow.store.events import Entry, Event, codes_of, parse
from winnow.store.item_rows import Item, Items
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import check_published
from winnow.store.release_log import ReleaseLog
from winnow.store.user_state import State, clear, watched

_AT_ONCE = 500_000
"""Events held in memory at most: some 200 MB; a longer stream is read several times, for a part of the users each."""


class Rebuilt(NamedTuple):
    """What a rebuild did.

    Attributes:
        users: how many users were written anew.
        events: how many events went into them, besides the log's.
    """

    users: int
    events: int


def rebuild(
    release: Release | Path,
    redis_url: str,
    show_progress: bool,
    window_ms: int = WINDOW_MS,
    exports: str | None = None,
) -> Rebuilt:
    """Write history, seen filter and category filter of every user of a release anew.

    Sidecars may go on meanwhile. Each user's keys are watched before the stream's newest events are read: what a
    sidecar applied before that is among them, and what it applies after that makes Redis refuse the transaction, which
    is then done again.

    Args:
        release: the release, or its folder.
        redis_url: where it is published.
        show_progress: draw a progress bar.
        window_ms: length of the seen filters' windows, milliseconds; as the sidecars have it.
        exports: where `winnow events export` writes; needed once it has trimmed the stream.

    Raises:
        ReleaseMismatch: Redis does not hold this release.
        WinnowError: Redis does not answer, there is no release in the folder, or the exports are not all there.
    """
    release = release if isinstance(release, Release) else Release.open(release)
    number = release.manifest.number
    with connect(redis_url) as client:
        check_published(client, redis_url, release)
        log = ReleaseLog(release, window_ms)
        places = log.places
        gap = client.get(Keys(number).gap)
        kept = Exports(client, exports)
        parts = (int(client.xlen(EVENTS)) + kept.count()) // _AT_ONCE + 1
        users = events = 0
        with tqdm(desc=f"rebuild release {number}", total=len(places), unit="user", disable=not show_progress) as bar:
            for part in range(parts):
                found = _Events(client, release, kept, part, parts)
                bar.total = (bar.total or 0) + sum(user_id not in places for user_id in found.of)
                for user_id in _users(log, found, part, parts):
                    _write(client, number, log, places.get(user_id), found, user_id, window_ms)
                    users += 1
                    bar.update()
                events += found.events
        client.incr(Keys(number).rebuilds)
        if gap is not None and client.get(Keys(number).gap) == gap:
            client.delete(Keys(number).gap)
    return Rebuilt(users, events)


class _Events:
    """The events of one part of the users, exported ones first, as far as the stream was read."""

    def __init__(self, client: Client, release: Release, exports: Exports, part: int, parts: int) -> None:
        self._client = client
        self._codes = codes_of(release.schema.events)
        self._read = Items(client, release).read
        self._part, self._parts = part, parts
        self._first, self._last = b"", b""
        self.events = 0
        self.of: dict[str, list[Event]] = defaultdict(list)
        self.items: dict[str, Item] = {}
        self.catch_up()
        # What is trimmed from now on has been read, and what was trimmed before has been exported.
        newer, self.of = self.of, defaultdict(list)
        self._take(exports.before(self._first))
        for user_id, events in newer.items():
            self.of[user_id] += events

    def catch_up(self) -> None:
        """Read what is new."""
        self._take(self._new())

    def _new(self) -> Iterator[Entry]:
        for entry in entries(self._client, self._last):
            self._first, self._last = self._first or entry[0], entry[0]
            yield entry

    def _take(self, found: Iterable[Entry]) -> None:
        """Keep the events of this part, and look up the items that are new in them."""
        unknown = set()
        for entry in found:
            event = parse(entry, self._codes)
            if event is None or _part(event.user_id, self._parts) != self._part:
                continue
            self.of[event.user_id].append(event)
            self.events += 1
            if event.item_id not in self.items:
                unknown.add(event.item_id)
        names = sorted(unknown)
        for start in range(0, len(names), 1000):
            self.items |= self._read(names[start : start + 1000])


def _users(log: ReleaseLog, events: _Events, part: int, parts: int) -> Iterator[str]:
    """Everybody of a part, those included who come while it is being written."""
    written = set()
    for user_id in log.user_ids:
        if _part(user_id, parts) == part:
            written.add(user_id)
            yield user_id
    while more := [user_id for user_id in events.of if user_id not in written]:
        written.update(more)
        yield from more


def _write(
    client: Client, number: int, log: ReleaseLog, place: int | None, events: _Events, user_id: str, window_ms: int
) -> None:
    def update(pipe: Any) -> None:
        events.catch_up()
        state = State.new(user_id) if place is None else log.state(place)
        state.apply(events.of.get(user_id, ()), events.items, window_ms)
        pipe.multi()
        clear(pipe, number, user_id)
        state.write(pipe, number)

    client.transaction(update, *watched(number, user_id))


def _part(user_id: str, parts: int) -> int:
    return crc32(user_id.encode()) % parts

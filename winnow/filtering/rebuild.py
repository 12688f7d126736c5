"""Rebuild a release's filters and histories from what cannot be wrong: its own log and the whole event stream."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from tqdm import tqdm

from winnow.filtering.log import ReleaseLog
from winnow.filtering.seen import WINDOW_MS
from winnow.filtering.state import State, clear, watched
from winnow.release import Release
from winnow.store.connection import Client, connect
from winnow.store.events import Event, Item, Items, codes_of, entries, parse
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import check_published

_AT_ONCE = 500_000
"""Events held in memory at most: some 200 MB; a longer stream is read several times, for a part of the users each."""


class Rebuilt(NamedTuple):
    """What a rebuild did.

    Attributes:
        users: how many users were written anew.
        events: how many events of the stream went into them.
    """

    users: int
    events: int


def rebuild(release: Release | Path, redis_url: str, show_progress: bool, window_ms: int = WINDOW_MS) -> Rebuilt:
    """Write history, seen filter and category filter of every user of a release anew.

    Sidecars may go on meanwhile. Each user's keys are watched before the stream's newest events are read: what a
    sidecar applied before that is among them, and what it applies after that makes Redis refuse the transaction, which
    is then done again.

    Args:
        release: the release, or its folder.
        redis_url: where it is published.
        show_progress: draw a progress bar.
        window_ms: length of the seen filters' windows, milliseconds; as the sidecars have it.

    Raises:
        ReleaseMismatch: Redis does not hold this release.
        WinnowError: Redis does not answer, or there is no release in the folder.
    """
    release = release if isinstance(release, Release) else Release.open(release)
    number = release.manifest.number
    with connect(redis_url) as client:
        check_published(client, redis_url, release)
        log = ReleaseLog(release, window_ms)
        places = log.places
        parts = int(client.xlen(EVENTS)) // _AT_ONCE + 1
        users = events = 0
        with tqdm(desc=f"rebuild release {number}", total=len(places), unit="user", disable=not show_progress) as bar:
            for part in range(parts):
                stream = _Stream(client, release, part, parts)
                bar.total = (bar.total or 0) + sum(user_id not in places for user_id in stream.of)
                for user_id in _users(log, stream, part, parts):
                    _write(client, number, log, places.get(user_id), stream, user_id, window_ms)
                    users += 1
                    bar.update()
                events += stream.events
        client.incr(Keys(number).rebuilds)
    return Rebuilt(users, events)


class _Stream:
    """The events of one part of the users, as far as the stream was read."""

    def __init__(self, client: Client, release: Release, part: int, parts: int) -> None:
        self._client = client
        self._codes = codes_of(release.schema.events)
        self._read = Items(client, release).read
        self._part, self._parts = part, parts
        self._last = b""
        self.events = 0
        self.of: dict[str, list[Event]] = defaultdict(list)
        self.items: dict[str, Item] = {}
        self.catch_up()

    def catch_up(self) -> None:
        """Read what is new, and look up the items that are new in it."""
        unknown = set()
        for entry in entries(self._client, self._last):
            self._last = entry[0]
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


def _users(log: ReleaseLog, stream: _Stream, part: int, parts: int) -> Iterator[str]:
    """Everybody of a part, those included who come while it is being written."""
    written = set()
    for user_id in log.user_ids:
        if _part(user_id, parts) == part:
            written.add(user_id)
            yield user_id
    while more := [user_id for user_id in stream.of if user_id not in written]:
        written.update(more)
        yield from more


def _write(
    client: Client, number: int, log: ReleaseLog, place: int | None, stream: _Stream, user_id: str, window_ms: int
) -> None:
    def update(pipe: Any) -> None:
        stream.catch_up()
        state = State.new(user_id) if place is None else log.state(place)
        state.apply(stream.of.get(user_id, ()), stream.items, window_ms)
        pipe.multi()
        clear(pipe, number, user_id)
        state.write(pipe, number)

    client.transaction(update, *watched(number, user_id))


def _part(user_id: str, parts: int) -> int:
    return crc32(user_id.encode()) % parts

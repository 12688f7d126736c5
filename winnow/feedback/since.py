"""The events since a moment: their number, and the newest of them, without reading all.

An event counts by when it entered the stream, by Redis's clock: its stream id. Exported events are counted by the
metadata of their files; of the stream, only entries that are not exported are read, and none where all are new.
"""

from collections.abc import Iterator
from typing import NamedTuple, cast

from redis.exceptions import RedisError

from winnow.errors import WinnowError
from winnow.feedback import export_files
from winnow.store.connection import Client
from winnow.store.events import Entry, position
from winnow.store.keys import EVENTS

_ENTRIES_PER_READ = 2000

Position = tuple[int, int]


class Taken(NamedTuple):
    """An event, as far as its distribution is compared.

    Attributes:
        item_id: id of the item, in UTF-8.
        event: event type.
    """

    item_id: bytes
    event: str


class NewEvents(NamedTuple):
    """The events since a moment.

    Attributes:
        total: their number.
        newest: the newest of them, at most as many as were asked for.
    """

    total: int
    newest: list[Taken]


def new_events(moment: int, client: Client | None, folder: str, most: int) -> NewEvents | None:
    """Count the events since a moment, and read the newest.

    Args:
        moment: milliseconds since the epoch.
        client: connection to the Redis of the stream, which returns bytes; ``None`` without one.
        folder: folder of the exports, local or ``s3://``; it may be missing.
        most: number of the newest events that are read at most.

    Returns:
        The events; ``None`` where there is neither a stream nor an export.

    Raises:
        WinnowError: Redis or the folder cannot be read.
    """
    exported = _Exports(folder, (moment, 0))
    if client is None and not exported.files:
        return None
    # The first position that the exports do not have.
    start = max((moment, 0), exported.end)
    try:
        in_stream = 0 if client is None else _entries_from(client, start)
        newest = [] if client is None else _sample(_newest_entries(client, start), most)
    except RedisError as error:
        raise WinnowError(f"the event stream cannot be read: {error}") from error
    newest += _sample(exported.newest(), most - len(newest))
    return NewEvents(in_stream + exported.count(), newest)


class _Exports:
    """The exported events from a position on.

    Attributes:
        files: files that have some, oldest first.
        end: the position after the last exported event.
    """

    def __init__(self, folder: str, start: Position) -> None:
        found = export_files.written(folder, export_files.EVENT_TABLE)
        later = [address for address in found if export_files.first(address) >= start]
        # The file before them may have events on both sides.
        self._before = found[: len(found) - len(later)][-1:]
        self.files, self._later, self._start = self._before + later, later, start
        self.end: Position = (0, 0)
        if self.files:
            ms, sequence = position(export_files.last(self.files[-1]).encode())
            self.end = (ms, sequence + 1)

    def count(self) -> int:
        within = sum(1 for address in self._before for _ in self._read(address))
        return within + sum(map(export_files.count, self._later))

    def newest(self) -> Iterator[Entry]:
        for address in reversed(self.files):
            yield from reversed(list(self._read(address)))

    def _read(self, address: str) -> Iterator[Entry]:
        return (entry for entry in export_files.events(address) if position(entry[0]) >= self._start)


def _entries_from(client: Client, start: Position) -> int:
    """The number of entries of the stream from a position on."""
    if not client.exists(EVENTS):
        return 0
    stream = client.xinfo_stream(EVENTS)
    oldest, newest = stream["first-entry"], stream["last-generated-id"]
    if oldest is None or position(newest) < start:
        return 0
    if position(oldest[0]) >= start:
        return int(stream["length"])
    return sum(1 for _ in _newest_entries(client, start))


def _newest_entries(client: Client, start: Position) -> Iterator[Entry]:
    """The entries of the stream from a position on, newest first."""
    last, first = b"+", f"{start[0]}-{start[1]}"
    while True:
        # redis-py's return type covers all response formats; a client that returns bytes has this one.
        read = cast("list[Entry]", client.xrevrange(EVENTS, last, first, count=_ENTRIES_PER_READ))
        yield from read
        if len(read) < _ENTRIES_PER_READ:
            return
        last = b"(" + read[-1][0]


def _sample(entries: Iterator[Entry], most: int) -> list[Taken]:
    """The first valid events of entries."""
    taken: list[Taken] = []
    while len(taken) < most and (entry := next(entries, None)) is not None:
        fields = entry[1]
        if b"item_id" in fields and b"event" in fields:
            taken.append(Taken(fields[b"item_id"], fields[b"event"].decode(errors="replace")))
    return taken

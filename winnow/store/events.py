"""The event stream as its readers see it: events, and what the catalog says of their items."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from winnow.filtering.hashing import item_hashes
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, Keys

Entry = tuple[bytes, dict[bytes, bytes]]
"""An entry of the stream: its id and its fields."""

_READ = 2000
"""Entries of one read of :func:`entries`: some hundreds of kilobytes."""


class Event(NamedTuple):
    """One event of the stream.

    Attributes:
        user_id: who.
        item_id: what.
        code: the event type's code; 0 for a type that the release does not declare.
        timestamp: when it happened as the sender says, milliseconds since the epoch.
        at_ms: when it entered the stream by Redis's clock, which no sender can set.
    """

    user_id: str
    item_id: str
    code: int
    timestamp: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Item:
    """What an item's row says that matters here.

    Attributes:
        index: the item's index.
        categories: hashes of the names of its categories.
    """

    index: int
    categories: tuple[int, ...]


class Items:
    """Items of a release, the fresh ones included, as Redis has them.

    Args:
        client: connection to Redis, answering bytes.
        release: whose items.
    """

    def __init__(self, client: Client, release: Release) -> None:
        self._client = client
        self._keys = Keys(release.manifest.number)
        self._dtype = release.schema.item_dtype
        self._reader = RowReader(release)

    def read(self, item_ids: Collection[str]) -> dict[str, Item]:
        """The items that Redis knows of those asked for, in one round trip.

        Raises:
            RedisError: Redis does not answer.
        """
        wanted = list(dict.fromkeys(item_ids))
        pipe = self._client.pipeline(transaction=False)
        for item_id in wanted:
            pipe.get(self._keys.item(item_id))
        rows = zip(wanted, pipe.execute(), strict=True)
        whole = [(item_id, row) for item_id, row in rows if isinstance(row, bytes) and len(row) == self._dtype.itemsize]
        return {item_id: self._reader.read(np.frombuffer(row, self._dtype)[0]) for item_id, row in whole}


class RowReader:
    """Reads packed item rows.

    Args:
        release: whose rows.
    """

    def __init__(self, release: Release) -> None:
        self._width = release.schema.item[0].width
        self._hashes = list(item_hashes(release.vocabularies.get("category", ())))

    def read(self, row: np.void) -> Item:
        """The item of a row."""
        return Item(int(row["index"]), tuple(self.categories(row["categorical"])))

    def categories(self, categorical: NDArray[np.int32]) -> list[int]:
        """Hashes of the categories of items, each once.

        Args:
            categorical: int32 [..., C], the categorical columns of their rows.
        """
        codes = np.unique(categorical[..., : self._width]).tolist()
        return [self._hashes[code] for code in codes if 0 < code < len(self._hashes)]


def parse(entry: Entry, codes: Mapping[str, int]) -> Event | None:
    """The event of an entry; none where it is not one.

    Args:
        entry: of the stream.
        codes: event type -> code, of :func:`codes_of`.
    """
    stream_id, fields = entry
    try:
        return Event(
            user_id=fields[b"user_id"].decode(),
            item_id=fields[b"item_id"].decode(),
            code=codes.get(fields[b"event"].decode(), 0),
            timestamp=int(fields[b"timestamp"]),
            at_ms=entered(stream_id),
        )
    except (KeyError, ValueError):
        return None


def codes_of(event_types: Sequence[str]) -> dict[str, int]:
    """Code by declared event type."""
    return {event: code for code, event in enumerate(event_types, 1)}


def entered(stream_id: bytes) -> int:
    """When an entry entered the stream, milliseconds since the epoch."""
    return int(stream_id.split(b"-")[0])


def position(stream_id: bytes) -> tuple[int, int]:
    """An entry's id as it compares with others."""
    ms, _, sequence = stream_id.partition(b"-")
    return int(ms), int(sequence)


def entries(client: Client, after: bytes = b"") -> Iterator[Entry]:
    """Every entry of the stream after ``after`` (of all when empty), oldest first, up to its end.

    Raises:
        RedisError: Redis does not answer.
    """
    while True:
        # The client's types cover every dialect of its protocol; with bytes the answer is this.
        read = cast("list[Entry]", client.xrange(EVENTS, b"(" + after if after else b"-", "+", count=_READ))
        yield from read
        if len(read) < _READ:
            return
        after = read[-1][0]

"""The codec of a user's history list: one entry is ``timestamp|event code|item_id``.

The list's key is :meth:`winnow.store.keys.StateKeys.history`; :class:`winnow.store.user_activity.UserActivity` writes
it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KEPT = 200
"""Maximum number of events per user, newest first."""


class History(NamedTuple):
    """A user's recent events as arrays, oldest first.

    Attributes:
        items: int32 [h], item indices.
        events: int32 [h], event type codes.
        timestamps: int64 [h], milliseconds since the epoch.
    """

    items: NDArray[np.int32]
    events: NDArray[np.int32]
    timestamps: NDArray[np.int64]


EMPTY = History(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))


def encode(timestamp: int, event: int, item_id: str) -> bytes:
    """Format an entry. The item id comes last because it may contain any character, ``|`` included."""
    return f"{timestamp}|{event}|{item_id}".encode()


def timestamp(entry: bytes) -> int:
    """The time of an entry's event, in milliseconds since the epoch."""
    return int(entry.split(b"|", 1)[0])


def decode(entries: Iterable[bytes], find: Callable[[Sequence[bytes]], NDArray[np.int32]]) -> History:
    """Parse a history list into arrays sorted by time.

    Entries are sorted because several sidecars may push a user's events slightly out of order. Entries of items that
    are not part of the release are dropped: the models have no row for them.

    Args:
        entries: the result of ``LRANGE``, newest first.
        find: gives the index of each of many item ids, 0 where there is none
            (:meth:`winnow.items.index.ItemIndex.find`).
    """
    fields = [entry.split(b"|", 2) for entry in entries]
    if not fields:
        return EMPTY
    moments, events, item_ids = zip(*fields, strict=True)
    timestamps = np.fromiter(map(int, moments), np.int64, len(fields))[::-1]
    items = find(item_ids)[::-1]
    known = np.flatnonzero(items)
    order = known[np.argsort(timestamps[known], kind="stable")]
    codes = np.fromiter(map(int, events), np.int32, len(fields))[::-1]
    return History(items[order], codes[order], timestamps[order])
